/* sleep, usleep, nanosleep: not shorter than asked, many at the same time in the time of one, zero,
 * the errors; and a sleeping thread stops nobody.
 *
 * PARITY: switches=200 threads=200 */
#include "parity.h"

enum { SLEEPERS = 200 };

static void* sleep_some(void* argument) {
    int way = (int)(intptr_t)argument % 4;
    double begun = now_ms();
    struct timespec pause = timespec_ms(150);
    if (way == 0) SAME(usleep(150000), 0);
    if (way == 1) SAME(nanosleep(&pause, NULL), 0);
    if (way == 2) SAME(clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, NULL), 0);
    if (way == 3) SAME(poll(NULL, 0, 150), 0);
    CHECK(now_ms() - begun >= 150);
    return NULL;
}

int main(void) {
    pthread_t threads[SLEEPERS];
    double begun = now_ms();
    for (int i = 0; i < SLEEPERS; i++) threads[i] = start(sleep_some, (void*)(intptr_t)i);
    for (int i = 0; i < SLEEPERS; i++) join(threads[i]);
    CHECK(now_ms() - begun < SLEEPERS * 150 / 2); /* one after the other would take twice that */
    say("%d sleepers at once", SLEEPERS);

    start_ticking();
    begun = now_ms();
    long before = ticks();
    SAME(sleep(1), 0);
    CHECK(now_ms() - begun >= 1000);
    CHECK(ticks() > before + 10);
    say("sleep");

    struct timespec pause = {0, 0}, rest = {5, 5};
    SAME(sleep(0), 0);
    SAME(usleep(0), 0);
    SAME(nanosleep(&pause, &rest), 0);
    SAME(rest.tv_sec, 5); /* not written when the sleep was whole */
    pause.tv_nsec = 1;
    SAME(nanosleep(&pause, NULL), 0);
    pause.tv_nsec = 1000000000;
    FAILS(nanosleep(&pause, &rest), EINVAL);
    pause.tv_nsec = -1;
    FAILS(nanosleep(&pause, &rest), EINVAL);
    pause.tv_sec = -1;
    pause.tv_nsec = 0;
    FAILS(nanosleep(&pause, &rest), EINVAL);
    SAME(usleep(1500000 / 100), 0);
    say("zero, EINVAL");
    stop_ticking();
    return 0;
}
