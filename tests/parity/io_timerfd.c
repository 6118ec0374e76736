/* timerfd: read waits for the expiry and counts expirations; relative and absolute, once and
 * periodic; re-armed and disarmed by another thread while a reader waits; poll; non-blocking.
 *
 * PARITY: switches=10 threads=3 */
#include "parity.h"

#include <sys/timerfd.h>

static int fd;

static void arm(long first_ms, long period_ms) {
    struct itimerspec when = {timespec_ms(period_ms), timespec_ms(first_ms)};
    SAME(timerfd_settime(fd, 0, &when, NULL), 0);
}

static void* arm_soon(void* argument) {
    (void)argument;
    wait_ticks(5);
    arm(10, 0);
    return NULL;
}

int main(void) {
    start_ticking();
    uint64_t count = 0;
    fd = timerfd_create(CLOCK_MONOTONIC, 0);
    double begun = now_ms();
    long before = ticks();
    arm(60, 0);
    SAME(read(fd, &count, sizeof count), 8);
    CHECK(now_ms() - begun >= 60);
    CHECK(ticks() > before);
    SAME(count, 1);
    say("once");

    arm(20, 20);
    begun = now_ms();
    uint64_t total = 0;
    while (total < 5) {
        SAME(read(fd, &count, sizeof count), 8);
        CHECK(count >= 1);
        total += count;
    }
    TOOK(begun, 90);
    sleep_ms(70);
    SAME(read(fd, &count, sizeof count), 8);
    CHECK(count >= 3);
    say("periodic");

    arm(100000, 0);
    pthread_t thread = start(arm_soon, NULL);
    SAME(read(fd, &count, sizeof count), 8); /* armed anew while this waits */
    join(thread);
    arm(0, 0);
    thread = start(arm_soon, NULL);
    SAME(read(fd, &count, sizeof count), 8); /* armed at last while this waits */
    join(thread);
    say("armed by another thread");

    struct itimerspec when;
    memset(&when, 0, sizeof when);
    clock_gettime(CLOCK_MONOTONIC, &when.it_value);
    SAME(timerfd_settime(fd, TFD_TIMER_ABSTIME, &when, NULL), 0);
    struct pollfd ready = {fd, POLLIN, 0};
    SAME(poll(&ready, 1, -1), 1);
    SAME(read(fd, &count, sizeof count), 8);
    set_nonblocking(fd, 1);
    FAILS(read(fd, &count, sizeof count), EAGAIN);
    FAILS(read(fd, &count, 7), EINVAL);
    FAILS(write(fd, &count, 8), EINVAL);
    say("absolute, non-blocking, EINVAL");
    stop_ticking();
    return 0;
}
