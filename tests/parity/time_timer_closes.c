/* A timer that runs a function in a thread (SIGEV_THREAD) takes no descriptor number of the
 * program's, and goes on when the program closes all that it did not open, one by one or at once.
 *
 * PARITY: switches=10 threads=4 */
#include "parity.h"

#include <semaphore.h>

static sem_t fired;

static void on_expiry(union sigval value) {
    (void)value;
    sem_post(&fired);
}

int main(void) {
    SAME(sem_init(&fired, 0, 0), 0);
    start_ticking();
    int before = open("/dev/null", O_RDONLY);
    SAME(close(before), 0);
    struct sigevent event = {.sigev_notify = SIGEV_THREAD, .sigev_notify_function = on_expiry};
    timer_t timer;
    SAME(timer_create(CLOCK_MONOTONIC, &event, &timer), 0);
    SAME(open("/dev/null", O_RDONLY), before);
    say("the next number is the same");

    for (int fd = 3; fd < 1024; fd++) close(fd);
    const struct itimerspec often = {{0, 5000000}, {0, 5000000}};
    SAME(timer_settime(timer, 0, &often, NULL), 0);
    for (int i = 0; i < 5; i++) SAME(sem_wait(&fired), 0);
    say("closed one by one");

    SAME(close_range(3, ~0U, 0), 0);
    for (int i = 0; i < 5; i++) SAME(sem_wait(&fired), 0);
    say("closed at once");
    SAME(timer_delete(timer), 0);
    stop_ticking();
    return 0;
}
