// Counts instructions where nothing else can: it runs a program under ptrace(2) and lets it go one
// instruction at a time between two marks (common.h), which needs no counter of the CPU's (virtual
// machines hide them), and finds the same number on every machine, however busy.
//
//     steps PROGRAM ARGUMENTS...     the program's own output, then "instructions N" on stderr
//
// Only the first kernel thread is counted. A system call is one instruction.
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#include "common.h"

// A stop for int3, the mark; a step has another code, and so has the stop after exec.
static bool is_mark(pid_t pid) {
    siginfo_t info;
    return ptrace(PTRACE_GETSIGINFO, pid, NULL, &info) == 0 && info.si_code == SI_KERNEL;
}

int main(int argc, char** argv) {
    if (argc < 2) return 2;
    pid_t pid = fork();
    if (pid < 0) die("steps: fork");
    if (pid == 0) {
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0) die("steps: ptrace");
        execv(argv[1], argv + 1);
        die("steps: exec");
    }
    uint64_t count = 0;
    int marks = 0, status;
    for (bool first = true;; first = false) {
        if (waitpid(pid, &status, 0) < 0) die("steps: waitpid");
        if (!WIFSTOPPED(status)) break;
        if (first) ptrace(PTRACE_SETOPTIONS, pid, NULL, PTRACE_O_EXITKILL);
        int pass_on = WSTOPSIG(status);
        if (pass_on == SIGTRAP) {
            marks += is_mark(pid);
            count += marks == 1;
            pass_on = 0;
        }
        if (ptrace(marks == 1 ? PTRACE_SINGLESTEP : PTRACE_CONT, pid, NULL, pass_on) < 0)
            die("steps: ptrace");
    }
    if (marks != 2 || !WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        fprintf(stderr, "steps: %s, %d marks\n",
                WIFSIGNALED(status) ? strsignal(WTERMSIG(status)) : "it failed", marks);
        return 1;
    }
    fprintf(stderr, "instructions %lu\n", count);
}
