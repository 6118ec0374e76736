/* A timer that signals one thread (SIGEV_THREAD_ID) while that blocks the signal: what it has sent
 * when it is stopped, set anew or deleted does not come (Linux 6.13). Others' signals of that
 * number do.
 *
 * PARITY: switches=2 threads=1 */
#include "parity.h"

#include <sys/utsname.h>

#ifndef sigev_notify_thread_id
#    define sigev_notify_thread_id _sigev_un._tid
#endif

enum { untouched, stopped, set_anew, deleted, ways };

static void* sleep_a_bit(void* argument) {
    sleep_ms(1);
    return argument;
}

static void* take(void* argument) {
    static const char* const names[ways] = {"untouched", "stopped", "set anew", "deleted"};
    int signal = SIGRTMIN + 2;
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = signal};
    struct itimerspec soon = {{0, 0}, {0, 20000000}}, never = {{0, 0}, {0, 0}},
                      late = {{0, 0}, {100, 0}};
    struct timespec no_wait = {0, 0};
    union sigval number;
    siginfo_t info;
    sigset_t set;
    event.sigev_notify_thread_id = gettid();
    sigemptyset(&set);
    sigaddset(&set, signal);
    SAME(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
    for (int others = 0; others < 3; others++) {
        for (int way = 0; way < ways; way++) {
            timer_t timer;
            int taken = 0, of_timer = 0;
            SAME(timer_create(CLOCK_MONOTONIC, &event, &timer), 0);
            number.sival_int = 1;
            if (others == 2) SAME(pthread_sigqueue(pthread_self(), signal, number), 0);
            SAME(timer_settime(timer, 0, &soon, NULL), 0);
            sleep_ms(100);
            number.sival_int = 2;
            if (others >= 1) SAME(pthread_sigqueue(pthread_self(), signal, number), 0);
            if (way == stopped) SAME(timer_settime(timer, 0, &never, NULL), 0);
            if (way == set_anew) SAME(timer_settime(timer, 0, &late, NULL), 0);
            if (way == deleted) SAME(timer_delete(timer), 0);
            number.sival_int = 3;
            if (others >= 1) SAME(pthread_sigqueue(pthread_self(), signal, number), 0);
            while (sigtimedwait(&set, &info, &no_wait) == signal) {
                if (info.si_code == SI_TIMER) {
                    of_timer++;
                } else {
                    taken = taken * 10 + info.si_value.sival_int;
                }
            }
            say("%s: %d of the timer, others %d", names[way], of_timer, taken);
            if (way != deleted) SAME(timer_delete(timer), 0);
        }
    }
    return argument;
}

int main(void) {
    struct utsname system;
    int version = 0, part = 0;
    SAME(uname(&system), 0);
    if (sscanf(system.release, "%d.%d", &version, &part) != 2 || version * 100 + part < 613) {
        say("an older kernel");
        join(start(sleep_a_bit, NULL));
        return 0;
    }
    join(start(take, NULL));
    return 0;
}
