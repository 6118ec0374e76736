/* Waiting for children in threads: waitpid, wait4, waitid, wait, each blocked until another thread
 * lets the child go; WNOHANG, stopped and continued children, any child, ECHILD, statuses.
 *
 * PARITY: switches=10 threads=6 */
#include "parity.h"

#include <sys/resource.h>

/* A child that ends with this status (or signal, if negative) when `release` gets a byte. */
static pid_t make_child(int status, int* release) {
    int ends[2];
    SAME(pipe2(ends, O_CLOEXEC), 0);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        char byte;
        close(ends[1]);
        if (read(ends[0], &byte, 1) != 1) _exit(99);
        if (status < 0) kill(getpid(), -status);
        _exit(status);
    }
    SAME(close(ends[0]), 0);
    *release = ends[1];
    return child;
}

static void* release_soon(void* argument) {
    int fd = (int)(intptr_t)argument;
    wait_ticks(5);
    SAME(write(fd, "x", 1), 1);
    SAME(close(fd), 0);
    return NULL;
}

static void* stop_soon(void* argument) {
    wait_ticks(3);
    SAME(kill((pid_t)(intptr_t)argument, SIGSTOP), 0);
    return NULL;
}

int main(void) {
    start_ticking();
    int release, status = 0;
    pid_t child;
    pthread_t thread;
    for (int way = 0; way < 5; way++) {
        struct rusage usage;
        siginfo_t info;
        child = make_child(way == 2 ? -SIGTERM : 10 + way, &release);
        SAME(waitpid(child, &status, WNOHANG), 0);
        memset(&info, 0, sizeof info);
        SAME(waitid(P_PID, (id_t)child, &info, WEXITED | WNOHANG), 0);
        SAME(info.si_pid, 0);
        thread = start(release_soon, (void*)(intptr_t)release);
        switch (way) {
            case 0:
                SAME(waitpid(child, &status, 0), child);
                break;
            case 1:
                SAME(wait4(child, &status, 0, &usage), child);
                break;
            case 2:
                SAME(waitpid(-1, &status, 0), child);
                break;
            case 3:
                SAME(wait(&status), child);
                break;
            case 4:
                SAME(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT), 0);
                SAME(info.si_pid, child);
                SAME(info.si_status, 14);
                SAME(waitid(P_ALL, 0, &info, WEXITED), 0);
                SAME(info.si_code, CLD_EXITED);
                status = info.si_status << 8;
                break;
        }
        join(thread);
        if (way == 2) {
            CHECK(WIFSIGNALED(status));
            SAME(WTERMSIG(status), SIGTERM);
        } else {
            SAME(WEXITSTATUS(status), 10 + way);
        }
        FAILS(waitpid(child, &status, 0), ECHILD);
        say("way %d: released, waited for, gone", way);
    }

    child = make_child(5, &release);
    thread = start(stop_soon, (void*)(intptr_t)child);
    SAME(waitpid(child, &status, WUNTRACED), child);
    CHECK(WIFSTOPPED(status));
    SAME(WSTOPSIG(status), SIGSTOP);
    join(thread);
    SAME(kill(child, SIGCONT), 0);
    SAME(waitpid(child, &status, WCONTINUED), child);
    CHECK(WIFCONTINUED(status));
    thread = start(release_soon, (void*)(intptr_t)release);
    SAME(waitpid(0, &status, 0), child); /* any of this process group */
    SAME(WEXITSTATUS(status), 5);
    join(thread);
    say("stopped, continued, ended");

    int sum = 0;
    for (int i = 0; i < 6; i++) {
        make_child(i, &release);
        join(start(release_soon, (void*)(intptr_t)release));
    }
    for (int i = 0; i < 6; i++) {
        CHECK(wait(&status) > 0);
        sum += WEXITSTATUS(status);
    }
    SAME(sum, 15);
    FAILS(wait(&status), ECHILD);
    FAILS(waitpid(getppid(), &status, 0), ECHILD);
    FAILS(waitpid(-1, &status, 0x800000), EINVAL);
    say("all of six, ECHILD, EINVAL");

    siginfo_t info;
    memset(&info, 1, sizeof info);
    FAILS(waitid(P_ALL, 0, &info, WEXITED), ECHILD);
    SAME(info.si_pid, 0);
    SAME(info.si_signo, 0);
    say("what is told where there is no child: none");
    stop_ticking();
    return 0;
}
