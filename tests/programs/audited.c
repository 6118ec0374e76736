/* System calls made behind libc's back, for test_audit.py: `audited CASE`.
 *
 * reads      a thread waits three times in a read of an empty pipe, which the auditor must name
 * stuck      the same, and nobody ever writes
 * harmless   the same instruction, where nothing can wait
 * odd        calls that cannot simply be made elsewhere: masks, alternate stacks, clone, vfork,
 *            returns from handlers
 * handler    the program has a use for SIGSYS itself, and then dispatches calls on its own
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef __x86_64__
#    error the instruction is spelt out
#endif

static long raw(long number, long a, long b, long c, long d) {
    long result;
    register long r10 __asm__("r10") = d;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10)
                     : "rcx", "r11", "memory");
    return result;
}

__attribute__((noinline)) static long read_by_itself(int fd, char* to) {
    return raw(SYS_read, fd, (long)to, 1, 0);
}

static int ends[2];

static void* read_three(void* unused) {
    (void)unused;
    char c = 0;
    for (int i = 0; i < 3; ++i) {
        long got = read_by_itself(ends[0], &c);
        printf("read %ld, %c\n", got, c);
    }
    return NULL;
}

static void reads(bool written) {
    pid_t child =
        !written ? 0 : fork();  // while there is one thread: it is nobody's hook that writes
    if (child == 0 && written) {
        for (int i = 0; i < 3; ++i) {
            usleep(100000);
            if (write(ends[1], &"abc"[i], 1) != 1) _exit(1);
        }
        _exit(0);
    }
    pthread_t thread;
    pthread_create(&thread, NULL, read_three, NULL);
    pthread_join(thread, NULL);
    if (written) waitpid(child, NULL, 0);
}

static void* harmless_calls(void* unused) {
    (void)unused;
    char c = 0;
    if (write(ends[1], "x", 1) != 1) exit(1);
    printf("ready: %ld\n", read_by_itself(ends[0], &c));
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    printf("not blocking: %ld\n", read_by_itself(ends[0], &c));
    printf("bad number: %ld\n", read_by_itself(-1, &c));
    int file = open("/proc/self/exe", O_RDONLY);
    printf("file: %ld\n", read_by_itself(file, &c));
    struct timespec none = {0, 0};
    printf("no time: %ld\n", raw(SYS_nanosleep, (long)&none, 0, 0, 0));
    int word = 1;
    volatile long futex = SYS_futex;  // not as a constant: the library looks for those
    printf("changed word: %ld\n", raw(futex, (long)&word, 0, 2, 0));
    printf("no child: %ld\n", raw(SYS_wait4, -1, 0, 0, 0));
    return NULL;
}

static volatile int handled = 0;
static void on_signal(int number) { handled = number; }

struct kernel_action {
    void (*handler)(int);
    unsigned long flags;
    void (*restorer)(void);
    unsigned long mask;
};
void restore_frame(void);
__asm__(
    ".pushsection .text\n"
    "restore_frame:\n"
    "    mov $15, %eax\n"
    "    syscall\n"
    ".popsection\n");

static int spawned(void* unused) {
    (void)unused;
    raw(SYS_exit, 7, 0, 0, 0);
    return 0;
}

static void report(const char* how, pid_t child) {
    int status = 0;
    int waited = waitpid(child, &status, 0) == child;
    printf("%s %d, status %d\n", how, waited, WEXITSTATUS(status));
}

static void* odd_calls(void* unused) {
    (void)unused;
    unsigned long all = ~0UL, before = 1, now = 0;
    const unsigned long usr1 = 1UL << (SIGUSR1 - 1);
    raw(SYS_rt_sigprocmask, SIG_SETMASK, (long)&all, (long)&before, 8);
    raw(SYS_rt_sigprocmask, SIG_BLOCK, 0, (long)&now, 8);
    printf("blocked %d, then %d\n", (before & usr1) != 0, (now & usr1) != 0);
    raw(SYS_getpid, 0, 0, 0, 0);
    raw(SYS_rt_sigprocmask, SIG_SETMASK, (long)&before, 0, 8);

    static char space[65536];
    stack_t stack = {.ss_sp = space, .ss_size = sizeof space}, found;
    printf("sigaltstack %ld\n", raw(SYS_sigaltstack, (long)&stack, 0, 0, 0));
    raw(SYS_sigaltstack, 0, (long)&found, 0, 0);
    printf("kept %d\n", found.ss_sp == space);
    stack.ss_flags = SS_DISABLE;
    raw(SYS_sigaltstack, (long)&stack, 0, 0, 0);

    struct kernel_action action = {on_signal, 0x04000000UL, restore_frame, 0};
    raw(SYS_rt_sigaction, SIGUSR2, (long)&action, 0, 8);
    raw(SYS_tgkill, getpid(), raw(SYS_gettid, 0, 0, 0, 0), SIGUSR2, 0);
    printf("handled %d\n", handled == SIGUSR2);

    report("clone", clone(spawned, space + sizeof space, CLONE_VM | CLONE_VFORK | SIGCHLD, NULL));
    pid_t child = (pid_t)raw(SYS_fork, 0, 0, 0, 0);
    if (child == 0) raw(SYS_exit_group, 5, 0, 0, 0);
    report("fork", child);
    child = (pid_t)raw(SYS_vfork, 0, 0, 0, 0);
    if (child == 0) raw(SYS_exit_group, 6, 0, 0, 0);
    report("vfork", child);
    return NULL;
}

static void* handler_call(void* unused) {
    char c = 0;
    (void)unused;
    printf("signal %d\n", signal(SIGSYS, on_signal) == SIG_DFL);
    raise(SIGSYS);
    printf("handled %d\n", handled == SIGSYS);
    printf("kept %d\n", signal(SIGSYS, SIG_IGN) == on_signal);
    struct kernel_action found;
    raw(SYS_rt_sigaction, SIGSYS, 0, (long)&found, 8);
    printf("ignored %d\n", found.handler == SIG_IGN);
    printf("not ready %d\n", raw(SYS_poll, 0, 0, 1, 0) == 0);
    raw(SYS_prctl, 59, 0, 0, 0);  // PR_SET_SYSCALL_USER_DISPATCH
    printf("not ready %d\n", raw(SYS_poll, 0, 0, 1, 0) == 0);
    printf("handled %d\n", read_by_itself(-1, &c) < 0);
    return NULL;
}

int main(int count, char** arguments) {
    const char* which = count > 1 ? arguments[1] : "";
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (pipe(ends) != 0) return 1;
    bool written = strcmp(which, "reads") == 0;
    if (written || strcmp(which, "stuck") == 0) {
        reads(written);
        return 0;
    }
    void* (*routine)(void*) = strcmp(which, "harmless") == 0  ? harmless_calls
                              : strcmp(which, "odd") == 0     ? odd_calls
                              : strcmp(which, "handler") == 0 ? handler_call
                                                              : NULL;
    if (routine == NULL) return 2;
    pthread_t thread;
    pthread_create(&thread, NULL, routine, NULL);
    pthread_join(thread, NULL);
    return 0;
}
