/* A thread that waits by sigwait(3) for a signal that it does not block takes it there, though the
 * signal has a handler: in a handler of another signal too.
 *
 * PARITY: switches=2 threads=1
 */
#include "thread.h"

#include <signal.h>

static volatile int suspended, other_ran;
static sigset_t set;

static void other(int signal) {
    (void)signal;
    other_ran = 1;
}

static void suspend(int signal) {
    suspended = 1;
    while (suspended) sigwait(&set, &signal);
}

static void* body(void* arg) {
    sleep(1);
    return arg;
}

int main(void) {
    struct sigaction action = {.sa_handler = suspend, .sa_flags = SA_RESTART};
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    CHECK(sigaction(SIGUSR2, &action, NULL) == 0);
    action.sa_handler = other;
    CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
    pthread_t thread = spawn(body, NULL);
    nap(50);
    CHECK(pthread_kill(thread, SIGUSR2) == 0);
    while (!suspended) nap(1);
    nap(50);
    suspended = 0;
    CHECK(pthread_kill(thread, SIGUSR1) == 0);
    finish(thread);
    SHOW_LONG(other_ran);
    return 0;
}
