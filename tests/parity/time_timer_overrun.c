/* A timer that signals one thread (SIGEV_THREAD_ID) while that blocks the signal: it is pending
 * once, and says how many expiries it stands for.
 *
 * PARITY: switches=2 threads=1 */
#include "parity.h"

#ifndef sigev_notify_thread_id
#    define sigev_notify_thread_id _sigev_un._tid
#endif

static void* take(void* argument) {
    int signal = SIGRTMIN + 2, taken = 0, overrun = 0;
    timer_t timer;
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = signal};
    struct itimerspec every = {{0, 50000000}, {0, 50000000}};
    struct timespec no_wait = {0, 0};
    siginfo_t info;
    sigset_t set;
    event.sigev_value.sival_int = 42;
    event.sigev_notify_thread_id = gettid();
    sigemptyset(&set);
    sigaddset(&set, signal);
    SAME(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
    SAME(timer_create(CLOCK_MONOTONIC, &event, &timer), 0);
    SAME(timer_settime(timer, 0, &every, NULL), 0);
    sleep_ms(320);
    while (sigtimedwait(&set, &info, &no_wait) == signal) {
        SAME(info.si_code, SI_TIMER);
        SAME(info.si_value.sival_int, 42);
        overrun += info.si_overrun;
        taken++;
    }
    CHECK(taken == 1 || taken == 2);
    CHECK(overrun >= 4);
    CHECK(timer_getoverrun(timer) >= 0);
    SAME(timer_delete(timer), 0);
    say("pending once");
    return argument;
}

int main(void) {
    join(start(take, NULL));
    return 0;
}
