/* Processes made by clone(2), by libc's function and by number, from a program with threads: the
 * child has one thread, with the process's id; its blocking calls work, it may make threads of its
 * own, and nothing that it does is felt by the parent, whose other thread goes on.
 *
 * PARITY: switches=10 threads=1
 */
#include "thread.h"

#include <poll.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static volatile int ticks, stop;
static int to_child[2], to_parent[2];

static void* tick(void* arg) {
    while (!stop) {
        usleep(1000);
        ticks++;
    }
    return arg;
}

static void* answer(void* arg) {
    char byte = 0;
    CHECK(read(to_child[0], &byte, 1) == 1);
    byte++;
    CHECK(write(to_parent[1], &byte, 1) == 1);
    return arg;
}

static int child(void* arg) {
    (void)arg;
    CHECK(syscall(SYS_gettid) == getpid());
    CHECK(gettid() == getpid());
    struct pollfd p = {to_child[0], POLLIN, 0};
    CHECK(poll(&p, 1, 20) == 0);
    answer(NULL);
    pthread_t thread = spawn(answer, NULL);
    usleep(1000);
    finish(thread);
    _exit(7);
}

static void talk_to(pid_t pid) {
    char byte = 'a';
    for (int i = 0; i < 2; i++) {
        int before = ticks;
        usleep(50000);
        CHECK(ticks > before);
        CHECK(write(to_child[1], &byte, 1) == 1);
        CHECK(read(to_parent[0], &byte, 1) == 1);
        printf("answer %c\n", byte);
    }
    int status = 0;
    SHOW_YES(waitpid(pid, &status, 0) == pid);
    printf("exited with %d\n", WEXITSTATUS(status));
}

int main(void) {
    static char stack[256 * 1024] __attribute__((aligned(16)));
    CHECK(pipe(to_child) == 0);
    CHECK(pipe(to_parent) == 0);
    pthread_t thread = spawn(tick, NULL);
    usleep(5000);
    talk_to(clone(child, stack + sizeof stack, SIGCHLD, NULL));
    fflush(stdout);
    pid_t pid = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    if (pid == 0) child(NULL);
    talk_to(pid);
    fflush(stdout);
    talk_to(clone(child, stack + sizeof stack, CLONE_FILES | SIGCHLD, NULL)); /* our descriptors */
    stop = 1;
    finish(thread);
    return 0;
}
