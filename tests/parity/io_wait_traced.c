/* A child that is traced (ptrace(2)) tells its stops to a wait that asks for nothing but its end,
 * which waits beside other threads: waitpid for this child, for any, and waitid.
 *
 * PARITY: switches=10 threads=1 */
#include "parity.h"

#include <sys/ptrace.h>

static pid_t traced(void) {
    pid_t child = fork();
    if (child != 0) return child;
    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0) _exit(1);
    raise(SIGSTOP);
    usleep(20000);
    raise(SIGUSR1);
    _exit(7);
}

static void stops(pid_t child, pid_t which, int options, int signal) {
    int status = 0;
    SAME(waitpid(which, &status, options), child);
    CHECK(WIFSTOPPED(status));
    SAME(WSTOPSIG(status), signal);
    SAME(ptrace(PTRACE_CONT, child, NULL, NULL), 0);
}

int main(void) {
    start_ticking();
    pid_t child = traced();
    stops(child, child, 0, SIGSTOP);
    stops(child, child, 0, SIGUSR1);
    siginfo_t end = {0};
    SAME(waitid(P_PID, (id_t)child, &end, WEXITED), 0);
    SAME(end.si_status, 7);
    say("one child");

    child = traced();
    stops(child, -1, __WALL, SIGSTOP);
    stops(child, -1, __WALL, SIGUSR1);
    int status = 0;
    SAME(wait(&status), child);
    SAME(WEXITSTATUS(status), 7);
    say("any child");
    return 0;
}
