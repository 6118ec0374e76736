/* A program that restricts its system calls (seccomp(2)) before it makes its first thread: only
 * what threads need natively is left, and all else would end it.
 *
 * PARITY: dormant=1 */
#include "parity.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

enum way { by_prctl, by_number_of_prctl, by_seccomp, ways };

static long restrict_calls(enum way way, struct sock_fprog* program) {
    switch (way) {
        case by_prctl:
            return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, program, 0, 0);
        case by_number_of_prctl:
            return syscall(SYS_prctl, PR_SET_SECCOMP, SECCOMP_MODE_FILTER, program, 0, 0);
        default:
            return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, program);
    }
}

static void forbid_to_make_descriptors(enum way way) {
    static const unsigned forbidden[] = {SYS_epoll_create1, SYS_eventfd2,     SYS_timerfd_create,
                                         SYS_openat,        SYS_epoll_pwait2, SYS_timer_create};
    struct sock_filter code[32];
    unsigned short n = 0;
    code[n++] =
        (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    for (size_t i = 0; i < sizeof forbidden / sizeof *forbidden; i++) {
        code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, forbidden[i], 0, 1);
        code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
    }
    code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    struct sock_fprog program = {n, code};
    SAME(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    CHECK(restrict_calls(way, &program) == 0 || errno == EINVAL);
}

static void* body(void* argument) {
    usleep(1000);
    return argument;
}

static void in_a_sandbox(enum way way) {
    forbid_to_make_descriptors(way);
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) threads[i] = start(body, NULL);
    for (int i = 0; i < 4; i++) join(threads[i]);
    say("joined");
}

int main(void) {
    for (enum way way = by_prctl; way < ways; way++) {
        fflush(stdout);
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            in_a_sandbox(way);
            exit(0);
        }
        int status = -1;
        SAME(waitpid(child, &status, 0), child);
        SAME(status, 0);
    }
    return 0;
}
