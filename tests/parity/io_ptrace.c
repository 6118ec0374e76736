/* Tracing a child from a thread: every wait tells of its stops, with or without WUNTRACED; of one
 * that asked to be traced, of one that was seized, of any child; and what its memory holds.
 *
 * PARITY: switches=5 threads=2 offloaded=1 kernel_threads=2 */
#include "parity.h"

#include <sys/ptrace.h>

static long word = 4711;

static void stops_at(pid_t child, int signal) {
    int status = 0;
    SAME(waitpid(child, &status, 0), child);
    CHECK(WIFSTOPPED(status));
    SAME(WSTOPSIG(status), signal);
}

static void ends(pid_t child, int want) {
    int status = 0;
    SAME(waitpid(child, &status, 0), child);
    CHECK(WIFEXITED(status));
    SAME(WEXITSTATUS(status), want);
}

static void asks_to_be_traced(void) {
    pid_t child = fork();
    if (child == 0) {
        if (ptrace(PTRACE_TRACEME, 0, 0, 0) != 0) _exit(1);
        usleep(20000);
        raise(SIGUSR1);
        _exit(7);
    }
    stops_at(child, SIGUSR1);
    errno = 0;
    SAME(ptrace(PTRACE_PEEKDATA, child, &word, 0), 4711);
    SAME(ptrace(PTRACE_CONT, child, 0, 0), 0);
    ends(child, 7);
    say("a child that asked");
}

static void is_executed(void) {
    siginfo_t info;
    pid_t child = fork();
    if (child == 0) {
        if (ptrace(PTRACE_TRACEME, 0, 0, 0) == 0) execl("/bin/true", "true", NULL);
        _exit(1);
    }
    SAME(waitid(P_PID, (id_t)child, &info, WEXITED), 0);
    SAME(info.si_code, CLD_TRAPPED);
    SAME(info.si_status, SIGTRAP);
    SAME(ptrace(PTRACE_CONT, child, 0, 0), 0);
    ends(child, 0);
    say("an exec");
}

static void* let_go(void* argument) {
    wait_ticks(20);
    SAME(kill((pid_t)(intptr_t)argument, SIGUSR2), 0);
    return NULL;
}

static void is_seized(void) {
    int status = 0, ready[2];
    char byte;
    SAME(pipe(ready), 0);
    pid_t child = fork();
    if (child == 0) {
        if (write(ready[1], "x", 1) != 1) _exit(1);
        for (;;) pause();
    }
    SAME(read(ready[0], &byte, 1), 1);
    SAME(ptrace(PTRACE_SEIZE, child, 0, 0), 0);
    pthread_t other = start(let_go, (void*)(intptr_t)child);
    SAME(wait(&status), child);
    CHECK(WIFSTOPPED(status));
    SAME(WSTOPSIG(status), SIGUSR2);
    join(other);
    SAME(ptrace(PTRACE_DETACH, child, 0, 0), 0);
    SAME(kill(child, SIGKILL), 0);
    SAME(wait4(child, &status, __WALL, NULL), child);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    say("a child that was seized");
}

/* Long after somebody has begun to wait for it. */
static void asks_late(void) {
    pid_t child = fork();
    if (child == 0) {
        usleep(2500000);
        if (ptrace(PTRACE_TRACEME, 0, 0, 0) != 0) _exit(1);
        raise(SIGUSR1);
        _exit(6);
    }
    stops_at(child, SIGUSR1);
    SAME(ptrace(PTRACE_CONT, child, 0, 0), 0);
    ends(child, 6);
    say("a child that asked late to be traced");
}

static void* trace(void* argument) {
    asks_late(); /* nothing was traced before */
    asks_to_be_traced();
    is_executed();
    is_seized();
    return argument;
}

int main(void) {
    start_ticking();
    join(start(trace, NULL));
    stop_ticking();
    return 0;
}
