/* A tracer in a sandbox that has no waitid(2) waits for its child with waitpid(2), and computes
 * nothing meanwhile.
 *
 * PARITY: switches=1 threads=1 */
#include "thread.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>

static void forbid_waitid(void) {
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_waitid, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof code / sizeof *code, code};
    CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) == 0 || errno == EINVAL);
}

static void* trace(void* argument) {
    int status = 0;
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        ptrace(PTRACE_TRACEME, 0, 0, 0);
        raise(SIGSTOP);
        nap(1000);
        _exit(3);
    }
    CHECK(waitpid(child, &status, 0) == child);
    SHOW_YES(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
    CHECK(ptrace(PTRACE_CONT, child, 0, 0) == 0);
    CHECK(waitpid(child, &status, 0) == child);
    SHOW_YES(WIFEXITED(status) && WEXITSTATUS(status) == 3);
    return argument;
}

static void* do_nothing(void* argument) { return argument; }

static int in_a_sandbox(void) {
    finish(spawn(do_nothing, NULL));
    forbid_waitid();
    finish(spawn(trace, NULL));
    SHOW_YES(clock() < CLOCKS_PER_SEC / 3);
    return 0;
}

int main(void) {
    int status = -1;
    finish(spawn(do_nothing, NULL));
    fflush(stdout);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) exit(in_a_sandbox());
    CHECK(waitpid(child, &status, 0) == child);
    SHOW_LONG(status);
    return 0;
}
