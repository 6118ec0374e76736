/* Timers that run a function in a thread (SIGEV_THREAD): made before and after the program's first
 * thread, once and at intervals, stopped, asked and deleted; the function may block.
 *
 * PARITY: switches=20 threads=4 */
#include "parity.h"

#include <semaphore.h>

static sem_t fired;
static pthread_t main_thread;

static void on_expiry(union sigval value) {
    SAME(value.sival_int, 42);
    CHECK(!pthread_equal(pthread_self(), main_thread));
    usleep(1000);
    sem_post(&fired);
}

static timer_t make(clockid_t clock) {
    struct sigevent event = {.sigev_notify = SIGEV_THREAD,
                             .sigev_notify_function = on_expiry,
                             .sigev_value = {.sival_int = 42}};
    timer_t timer;
    SAME(timer_create(clock, &event, &timer), 0);
    return timer;
}

static void wait_fired(int times) {
    for (int i = 0; i < times; i++) SAME(sem_wait(&fired), 0);
}

int main(void) {
    struct itimerspec once = {{0, 0}, {0, 20000000}}, often = {{0, 5000000}, {0, 1}}, now;
    const struct itimerspec stopped = {{0, 0}, {0, 0}};
    main_thread = pthread_self();
    SAME(sem_init(&fired, 0, 0), 0);
    timer_t early = make(CLOCK_MONOTONIC);
    SAME(timer_settime(early, 0, &once, NULL), 0);
    start_ticking();
    wait_fired(1);
    say("one made before the first thread");
    timer_t late = make(CLOCK_REALTIME);
    SAME(timer_gettime(late, &now), 0);
    SAME(now.it_value.tv_sec + now.it_value.tv_nsec, 0);
    SAME(timer_settime(late, 0, &often, NULL), 0);
    wait_fired(5);
    SAME(timer_settime(late, 0, &stopped, NULL), 0);
    say("one at intervals");
    SAME(timer_delete(late), 0);
    SAME(timer_settime(early, 0, &once, NULL), 0);
    wait_fired(1);
    SAME(timer_delete(early), 0);
    say("deleted");
    stop_ticking();
    return 0;
}
