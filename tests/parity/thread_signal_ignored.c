/* A signal that is pending, for a thread or for the process, is discarded when it becomes ignored,
 * or gets a default action that ignores it. A handler that is reset leaves its flags. sigqueue
 * takes a thread's number.
 *
 * PARITY: threads=1 */
#include "parity.h"

static int handled;
static void on_signal(int signal) {
    (void)signal;
    handled++;
}

static int is_pending(int signal) {
    sigset_t set;
    SAME(sigpending(&set), 0);
    return sigismember(&set, signal);
}

static void set_action(int signal, void (*handler)(int), int flags) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = handler;
    action.sa_flags = flags;
    SAME(sigaction(signal, &action, NULL), 0);
}

static void* run(void* argument) {
    int numbers[3] = {SIGUSR1, SIGWINCH, SIGRTMIN + 3};
    struct timespec no_wait = {0, 0};
    union sigval value = {.sival_int = 7};
    siginfo_t info;
    sigset_t set;
    sigemptyset(&set);
    for (int i = 0; i < 3; i++) sigaddset(&set, numbers[i]);
    SAME(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
    for (int i = 0; i < 3; i++) {
        for (int way = 0; way < 6; way++) {
            int signal = numbers[i];
            set_action(signal, on_signal, 0);
            if (way % 2 == 0) SAME(raise(signal), 0);
            if (way % 2 == 1) SAME(kill(getpid(), signal), 0);
            SAME(is_pending(signal), 1);
            if (way / 2 == 0) set_action(signal, SIG_IGN, 0);
            if (way / 2 == 1) set_action(signal, SIG_DFL, 0);
            int then = is_pending(signal);
            set_action(signal, on_signal, 0);
            int taken = sigtimedwait(&set, &info, &no_wait);
            say("signal %d, way %d: pending %d, taken %d", i, way, then, taken > 0);
        }
    }
    SAME(handled, 0);

    SAME(pthread_sigmask(SIG_UNBLOCK, &set, NULL), 0);
    set_action(SIGUSR1, on_signal, SA_RESETHAND | SA_NODEFER);
    SAME(raise(SIGUSR1), 0);
    struct sigaction told;
    SAME(sigaction(SIGUSR1, NULL, &told), 0);
    CHECK(told.sa_handler == SIG_DFL);
    say("handled %d, flags %x", handled, (unsigned)told.sa_flags);

    set_action(SIGRTMIN + 3, on_signal, 0);
    SAME(sigqueue(gettid(), SIGRTMIN + 3, value), 0);
    SAME(sigqueue(gettid(), 0, value), 0);
    for (int i = 0; i < 1000 && handled < 2; i++) sleep_ms(1);
    say("handled %d", handled);
    return argument;
}

int main(void) {
    sigset_t all;
    sigfillset(&all);
    SAME(pthread_sigmask(SIG_BLOCK, &all, NULL), 0);
    join(start(run, NULL));
    return 0;
}
