/* tkill(2) of a thread of another process, which is how a debugger stops one: its number is looked
 * for among all there are, not only among our own.
 *
 * PARITY: switches=1 threads=1
 */
#include "parity.h"

#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static void leave(int number) {
    (void)number;
    _exit(7);
}

static pid_t waiting_child(void) {
    int ready[2];
    char c;
    CHECK(pipe(ready) == 0);
    pid_t child = fork();
    if (child == 0) {
        signal(SIGUSR1, leave);
        if (write(ready[1], "+", 1) != 1) _exit(1);
        for (;;) sleep(1);
    }
    SAME(read(ready[0], &c, 1), 1);
    close(ready[0]);
    close(ready[1]);
    return child;
}

static void* send_by_number(void* arg) {
    int status = 0;
    pid_t child = waiting_child();
    SAME(syscall(SYS_tkill, child, 0), 0);
    SAME(syscall(SYS_tkill, child, SIGSTOP), 0);
    SAME(waitpid(child, &status, WUNTRACED), child);
    CHECK(WIFSTOPPED(status));
    SAME(syscall(SYS_tkill, child, SIGCONT), 0);
    SAME(syscall(SYS_tkill, child, SIGUSR1), 0);
    SAME(waitpid(child, &status, 0), child);
    CHECK(WIFEXITED(status));
    SAME(WEXITSTATUS(status), 7);
    say("stopped, continued, handled");

    child = waiting_child();
    SAME(syscall(SYS_tkill, child, SIGTERM), 0);
    SAME(waitpid(child, &status, 0), child);
    CHECK(WIFSIGNALED(status));
    SAME(WTERMSIG(status), SIGTERM);
    errno = 0;
    SAME(syscall(SYS_tkill, child, 0), -1);
    SAME(errno, ESRCH);
    errno = 0;
    SAME(syscall(SYS_tkill, 0, 0), -1);
    SAME(errno, EINVAL);
    say("ended");
    return arg;
}

int main(void) {
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, send_by_number, NULL) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    return 0;
}
