/* Children by descriptors (pidfd_open(2)): polled, waited for with waitid(P_PIDFD), which waits for
 * one that was made without O_NONBLOCK, lets other threads run meanwhile, and says EAGAIN of one
 * that was made with it.
 *
 * PARITY: switches=10 threads=2
 */
#include "parity.h"

#include <sys/syscall.h>

#ifndef P_PIDFD
#    define P_PIDFD 3
#endif

static pid_t child_with(int status, int gate[2]) {
    SAME(pipe(gate), 0);
    pid_t child = fork();
    if (child == 0) {
        char byte;
        close(gate[1]);
        _exit(read(gate[0], &byte, 1) == 0 ? status : 99);
    }
    SAME(close(gate[0]), 0);
    return child;
}

static int pidfd(pid_t child, int flags) {
    int fd = (int)syscall(SYS_pidfd_open, child, flags);
    CHECK(fd >= 0);
    return fd;
}

static void* open_gate(void* argument) {
    wait_ticks(20);
    SAME(close(*(int*)argument), 0);
    return NULL;
}

int main(void) {
    siginfo_t info;
    int gate[2];
    start_ticking();
    pid_t child = child_with(3, gate);
    int fd = pidfd(child, 0);
    struct pollfd one = {fd, POLLIN, 0};
    SAME(poll(&one, 1, 0), 0);
    memset(&info, 0, sizeof info);
    SAME(waitid((idtype_t)P_PIDFD, (id_t)fd, &info, WEXITED | WNOHANG), 0);
    SAME(info.si_pid, 0);
    pthread_t opener = start(open_gate, &gate[1]);
    SAME(waitid((idtype_t)P_PIDFD, (id_t)fd, &info, WEXITED | WNOWAIT), 0);
    SAME(info.si_pid, child);
    SAME(poll(&one, 1, -1), 1);
    SAME(waitid((idtype_t)P_PIDFD, (id_t)fd, &info, WEXITED), 0);
    SAME(info.si_status, 3);
    FAILS(waitid((idtype_t)P_PIDFD, (id_t)fd, &info, WEXITED), ECHILD);
    join(opener);
    SAME(close(fd), 0);
    say("waited for");

    child = child_with(4, gate);
    fd = pidfd(child, O_NONBLOCK);
    FAILS(waitid((idtype_t)P_PIDFD, (id_t)fd, &info, WEXITED), EAGAIN);
    opener = start(open_gate, &gate[1]);
    one.fd = fd;
    SAME(poll(&one, 1, -1), 1);
    SAME(waitid((idtype_t)P_PIDFD, (id_t)fd, &info, WEXITED), 0);
    SAME(info.si_status, 4);
    join(opener);
    say("asked without waiting");
    stop_ticking();
    return 0;
}
