/* A program with a clock_gettime of its own, as tests and preloaded libraries bring one: it tells
 * another day, runs ten times as fast and takes a lock. What waits does so by the true time.
 *
 * PARITY: switches=10 threads=4 */
#include "parity.h"

#include <sys/syscall.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t never = PTHREAD_COND_INITIALIZER;

static struct timespec true_time(clockid_t clock) {
    struct timespec t;
    syscall(SYS_clock_gettime, clock, &t);
    return t;
}

__attribute__((visibility("default"))) int clock_gettime(clockid_t clock, struct timespec* t) {
    static pthread_mutex_t own = PTHREAD_MUTEX_INITIALIZER;
    pthread_mutex_lock(&own);
    *t = true_time(clock);
    t->tv_sec = 10 * t->tv_sec + 86400;
    pthread_mutex_unlock(&own);
    return 0;
}

static long ms_since(struct timespec start) {
    struct timespec now = true_time(CLOCK_MONOTONIC);
    return (now.tv_sec - start.tv_sec) * 1000 + (now.tv_nsec - start.tv_nsec) / 1000000;
}

static void* wait_in_vain(void* argument) {
    struct timespec start = true_time(CLOCK_MONOTONIC), limit = true_time(CLOCK_REALTIME);
    limit.tv_sec += 1;
    SAME(pthread_mutex_lock(&lock), 0);
    SAME(pthread_cond_timedwait(&never, &lock, &limit), ETIMEDOUT);
    SAME(pthread_mutex_unlock(&lock), 0);
    CHECK(ms_since(start) >= 999);
    return argument;
}

static void* sleep_and_poll(void* argument) {
    for (int i = 0; i < 10; i++) {
        struct timespec start = true_time(CLOCK_MONOTONIC);
        SAME(usleep(20000), 0);
        SAME(poll(NULL, 0, 20), 0);
        CHECK(ms_since(start) >= 40);
    }
    return argument;
}

int main(void) {
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) threads[i] = start(i < 2 ? wait_in_vain : sleep_and_poll, NULL);
    for (int i = 0; i < 4; i++) join(threads[i]);
    say("as long as they should");
    return 0;
}
