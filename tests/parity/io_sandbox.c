/* A child that forbids itself to open files (seccomp(2), as sshd's do) ends as it wants to: nobody
 * opens one on its behalf, nor while it waits.
 *
 * PARITY: switches=2 threads=1
 */
#include "parity.h"

#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

static int forbid_openat(int by_prctl) {
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof code / sizeof *code, code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return -1;
    if (by_prctl) return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0);
    return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program);
}

static void end_of_child(int by_prctl) {
    pid_t child = fork();
    if (child == 0) exit(forbid_openat(by_prctl) == 0 || errno == EINVAL ? 7 : 1);
    int status = 0;
    SAME(waitpid(child, &status, 0), child);
    say("signal %d, status %d", WTERMSIG(status), WEXITSTATUS(status));
}

static void* body(void* unused);

static void wait_of_child(void) {
    pid_t child = fork();
    if (child == 0) {
        int word = 0;
        struct timespec limit = {0, 60000000};
        join(start(body, NULL));
        if (forbid_openat(1) != 0 && errno != EINVAL) exit(1);
        exit(syscall(SYS_futex, &word, FUTEX_WAIT, 0, &limit) == -1 && errno == ETIMEDOUT ? 7 : 1);
    }
    int status = 0;
    SAME(waitpid(child, &status, 0), child);
    say("signal %d, status %d", WTERMSIG(status), WEXITSTATUS(status));
}

static void* body(void* unused) {
    usleep(1000);
    return unused;
}

int main(void) {
    end_of_child(1);
    join(start(body, NULL));
    end_of_child(1);
    end_of_child(0);
    wait_of_child();
    return 0;
}
