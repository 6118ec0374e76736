/* clock_nanosleep: relative and absolute, on both clocks, instants in the past, errors returned
 * (and not set in errno), clocks it does not know.
 *
 * PARITY: switches=10 threads=11 */
#include "parity.h"

static struct timespec after_ms(clockid_t clock, long ms) {
    struct timespec when;
    SAME(clock_gettime(clock, &when), 0);
    when.tv_nsec += ms * 1000000;
    when.tv_sec += when.tv_nsec / 1000000000;
    when.tv_nsec %= 1000000000;
    return when;
}

static int reached(clockid_t clock, struct timespec when) {
    struct timespec now;
    SAME(clock_gettime(clock, &now), 0);
    return now.tv_sec > when.tv_sec || (now.tv_sec == when.tv_sec && now.tv_nsec >= when.tv_nsec);
}

static void* sleep_until(void* argument) {
    clockid_t clock = (clockid_t)(intptr_t)argument;
    struct timespec when = after_ms(clock, 80);
    SAME(clock_nanosleep(clock, TIMER_ABSTIME, &when, NULL), 0);
    CHECK(reached(clock, when));
    SAME(clock_nanosleep(clock, TIMER_ABSTIME, &when, NULL), 0); /* at once: it is past */
    struct timespec end = after_ms(clock, 60), pause = timespec_ms(60);
    SAME(clock_nanosleep(clock, 0, &pause, NULL), 0);
    CHECK(reached(clock, end));
    return NULL;
}

int main(void) {
    start_ticking();
    clockid_t clocks[4] = {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_TAI};
    pthread_t threads[10];
    for (int i = 0; i < 10; i++) threads[i] = start(sleep_until, (void*)(intptr_t)clocks[i % 4]);
    for (int i = 0; i < 10; i++) join(threads[i]);
    say("four clocks, absolute and relative");

    long before = ticks();
    struct timespec when = after_ms(CLOCK_REALTIME, 100);
    SAME(clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &when, NULL), 0);
    CHECK(ticks() > before);
    when = timespec_ms(0);
    SAME(clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &when, NULL), 0);
    SAME(clock_nanosleep(CLOCK_MONOTONIC, 0, &when, NULL), 0);
    say("the past, zero");

    struct timespec bad = {0, 1000000000}, negative = {-1, 0}, fine = {0, 1};
    errno = 0;
    SAME(clock_nanosleep(CLOCK_MONOTONIC, 0, &bad, NULL), EINVAL);
    SAME(clock_nanosleep(CLOCK_MONOTONIC, 0, &negative, NULL), EINVAL);
    SAME(clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &negative, NULL), EINVAL);
    SAME(clock_nanosleep(CLOCK_THREAD_CPUTIME_ID, 0, &fine, NULL), EINVAL);
    SAME(clock_nanosleep(99, 0, &fine, NULL), EINVAL);
    SAME(clock_nanosleep(CLOCK_MONOTONIC_RAW, 0, &fine, NULL), EOPNOTSUPP);
    SAME(errno, 0);
    say("EINVAL, EOPNOTSUPP as values");
    stop_ticking();
    return 0;
}
