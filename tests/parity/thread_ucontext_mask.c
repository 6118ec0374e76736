/* getcontext, setcontext, swapcontext and a context's uc_link while other threads have other signal
 * masks: a context holds its thread's own mask, entering it restores that one, and a signal it lets
 * in is handled. The other threads' masks stay as they are.
 *
 * PARITY: switches=1 threads=1 */
#include "parity.h"

#include <ucontext.h>

static long handled;
static ucontext_t here, there;
static char stack[65536];

static void count(int number) {
    (void)number;
    add_to(&handled, 1);
}

static int blocks(int signal) {
    sigset_t now;
    SAME(pthread_sigmask(SIG_BLOCK, NULL, &now), 0);
    return sigismember(&now, signal);
}

static void block(int how, int signal) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, signal);
    SAME(pthread_sigmask(how, &set, NULL), 0);
}

static void inside(void) {
    SAME(blocks(SIGUSR1), 1);
    SAME(blocks(SIGUSR2), 0);
    SAME(sigismember(&here.uc_sigmask, SIGUSR1), 1);
    SAME(sigismember(&here.uc_sigmask, SIGUSR2), 1);
    SAME(value_of(&handled), 2);
    say("inside");
} /* goes on at uc_link */

static void* other(void* unused) {
    SAME(blocks(SIGUSR1), 0);
    SAME(blocks(SIGUSR2), 0);
    return unused;
}

static void* contexts(void* unused) {
    static volatile int rounds;
    block(SIG_BLOCK, SIGUSR1);
    SAME(getcontext(&here), 0);
    SAME(sigismember(&here.uc_sigmask, SIGUSR1), 1);
    SAME(sigismember(&here.uc_sigmask, SIGUSR2), 0);
    SAME(blocks(SIGUSR2), 0);
    if (rounds++ == 0) {
        block(SIG_BLOCK, SIGUSR2);
        SAME(pthread_kill(pthread_self(), SIGUSR2), 0);
        SAME(value_of(&handled), 0);
        setcontext(&here);
        say("not reached");
    }
    SAME(rounds, 2);
    SAME(value_of(&handled), 1);
    say("set");
    SAME(getcontext(&there), 0);
    there.uc_stack.ss_sp = stack;
    there.uc_stack.ss_size = sizeof stack;
    there.uc_link = &here;
    makecontext(&there, inside, 0);
    block(SIG_BLOCK, SIGUSR2);
    SAME(pthread_kill(pthread_self(), SIGUSR2), 0);
    SAME(value_of(&handled), 1);
    SAME(swapcontext(&here, &there), 0);
    SAME(blocks(SIGUSR1), 1);
    SAME(blocks(SIGUSR2), 1);
    SAME(value_of(&handled), 2);
    say("back");
    block(SIG_UNBLOCK, SIGUSR1);
    block(SIG_UNBLOCK, SIGUSR2);
    return unused;
}

int main(void) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = count;
    SAME(sigaction(SIGUSR2, &action, NULL), 0);
    start_ticking();
    join(start(contexts, NULL));
    join(start(other, NULL));
    stop_ticking();
    return 0;
}
