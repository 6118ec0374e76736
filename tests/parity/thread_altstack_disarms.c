/* What becomes of a thread's alternate stack around a handler (sigaltstack(2)): one with
 * SS_AUTODISARM is not the thread's while a handler runs, so that it can be set again there, and
 * comes back with the handler's return but not with siglongjmp; what any handler sets is undone
 * when it returns. In a thread that waits, one that computes, and at a call of its own.
 *
 * PARITY: switches=3 threads=3
 */
#include "thread.h"

#include <setjmp.h>
#include <signal.h>

#define DISARMS (1U << 31) /* SS_AUTODISARM of <linux/signal.h> */

static char stacks[2][65536];
static volatile sig_atomic_t handled, ready;
static volatile int jumps, sets;
static sigjmp_buf out;

static const char* where(const void* at) {
    const char* address = at;
    for (int i = 0; i < 2; i++)
        if (address >= stacks[i] && address < stacks[i] + sizeof stacks[i])
            return i == 0 ? "first" : "second";
    return "none";
}

static void show(const char* when) {
    stack_t now;
    CHECK(sigaltstack(NULL, &now) == 0);
    printf("%s: flags %x, stack %s\n", when, (unsigned)now.ss_flags,
           (now.ss_flags & SS_DISABLE) != 0 ? "none" : where(now.ss_sp));
}

static void set(int which, unsigned flags) {
    stack_t stack = {.ss_sp = stacks[which], .ss_flags = (int)flags, .ss_size = sizeof stacks[0]};
    CHECK(sigaltstack(&stack, NULL) == 0);
}

static void handle(int number, siginfo_t* info, void* context) {
    char here;
    (void)info;
    printf("signal %d on %s, before it %x\n", number == SIGUSR1 ? 1 : 2, where(&here),
           (unsigned)((ucontext_t*)context)->uc_stack.ss_flags);
    show("in it");
    if (sets) set(1, 0);
    handled++;
    if (jumps) siglongjmp(out, 1);
}

static void one_round(int by) {
    int before = handled;
    ready = before + 1;
    if (by == 0) CHECK(raise(SIGUSR1) == 0);
    if (by == 1) CHECK(raise(SIGUSR2) == 0);
    if (by == 2)
        while (handled == before) usleep(500000);
    if (by == 3)
        while (handled == before) continue;
}

static void* rounds(void* argument) {
    int by = (int)(intptr_t)argument;
    for (int flags = 0; flags < 2; flags++) {
        for (sets = 0; sets < (by == 1 || flags ? 2 : 1); sets++) {
            set(0, flags ? DISARMS : 0);
            one_round(by);
            show("after it");
        }
    }
    sets = 0;
    jumps = 1;
    set(0, DISARMS);
    if (sigsetjmp(out, 1) == 0) one_round(by);
    jumps = 0;
    show("after a jump");
    return NULL;
}

/* Sends one signal for each round: the thread waits for it, or computes until it has come. */
static void send_to(pthread_t thread, int count) {
    for (int i = 0; i < count; i++) {
        while (ready <= i) nap(1);
        nap(10);
        CHECK(pthread_kill(thread, SIGUSR1) == 0);
    }
}

int main(void) {
    struct sigaction action = {.sa_sigaction = handle, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
    action.sa_flags = SA_SIGINFO;
    CHECK(sigaction(SIGUSR2, &action, NULL) == 0);
    finish(spawn(rounds, (void*)0));
    finish(spawn(rounds, (void*)1));
    for (int by = 2; by < 4; by++) {
        handled = ready = 0;
        pthread_t thread = spawn(rounds, (void*)(intptr_t)by);
        send_to(thread, 4);
        finish(thread);
    }
    return 0;
}
