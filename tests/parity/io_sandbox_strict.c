/* A child that allows itself nothing but to write and to end (seccomp(2)) gets along with these
 * two: _exit makes no other system call on its way, before the first thread and after it.
 *
 * PARITY: threads=1
 */
#include "parity.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

static int allow_write_and_exit(int by_prctl) {
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_write, 2, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof code / sizeof *code, code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return -1;
    if (by_prctl) return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0);
    return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program);
}

static void child_in_sandbox(int by_prctl) {
    int ends[2], status = 0;
    char text[8] = "";
    SAME(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        if (allow_write_and_exit(by_prctl) != 0 && errno != EINVAL) _exit(1);
        _exit(write(ends[1], "hello", 5) == 5 ? 7 : 2);
    }
    SAME(waitpid(child, &status, 0), child);
    SAME(read(ends[0], text, sizeof text), 5);
    say("%.5s, signal %d, status %d", text, WTERMSIG(status), WEXITSTATUS(status));
    close(ends[0]);
    close(ends[1]);
}

static void* body(void* unused) {
    usleep(1000);
    return unused;
}

int main(void) {
    child_in_sandbox(1);
    child_in_sandbox(0);
    join(start(body, NULL));
    child_in_sandbox(1);
    child_in_sandbox(0);
    return 0;
}
