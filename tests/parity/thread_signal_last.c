/* A signal for the process that only one thread does not block is handled by it, even if the thread
 * makes no call any more, and ends by returning or by pthread_exit.
 *
 * PARITY: switches=100 threads=1
 */
#include "thread.h"

#include <signal.h>

static volatile int ready, stop;
static volatile int handled;
static pthread_t worker;

static void on_signal(int signal) {
    (void)signal;
    CHECK(pthread_equal(pthread_self(), worker));
    ++handled;
}

static void* body(void* arg) {
    sigset_t mask;
    sigemptyset(&mask);
    worker = pthread_self();
    pthread_sigmask(SIG_SETMASK, &mask, NULL);
    ready = 1;
    while (!stop) sched_yield();
    for (volatile int i = 0; i < 20000; ++i) continue;
    if (arg != NULL) pthread_exit(arg);
    return arg;
}

static void rounds(void* arg) {
    handled = 0;
    for (int i = 1; i <= 50; ++i) {
        ready = stop = 0;
        pthread_t thread = spawn(body, arg);
        while (!ready) sched_yield();
        kill(getpid(), SIGUSR1);
        stop = 1;
        finish(thread);
        CHECK(handled == i);
    }
}

int main(void) {
    struct sigaction action = {.sa_handler = on_signal};
    sigset_t mask;
    sigaction(SIGUSR1, &action, NULL);
    sigemptyset(&mask);
    sigaddset(&mask, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &mask, NULL);
    rounds(NULL);
    puts("returned");
    rounds(&worker);
    puts("left by pthread_exit");
    return 0;
}
