/* Threads that compute all the time, beside others that wake often or that compute for a part of a
 * slice and give way: nobody is left out, new threads neither.
 *
 * PARITY: threads=12 */
#include "parity.h"

#include <sched.h>

static volatile int stop;
static volatile long computed, begun;

static void compute_for(double milliseconds) {
    struct timespec from, now;
    clock_gettime(CLOCK_MONOTONIC, &from);
    do {
        for (volatile int i = 0; i < 20000; ++i) continue;
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while ((double)(now.tv_sec - from.tv_sec) * 1e3 + (double)(now.tv_nsec - from.tv_nsec) / 1e6 <
             milliseconds);
}

static void* compute(void* unused) {
    while (!stop) ++computed;
    return unused;
}

static void* compute_after_a_sleep(void* unused) {
    usleep(20000);
    while (!stop) continue;
    return unused;
}

static void* compute_and_yield(void* unused) {
    usleep(20000);
    while (!stop) {
        compute_for(4);
        sched_yield();
    }
    return unused;
}

static void* wake_often(void* unused) {
    while (!stop) usleep(500);
    return unused;
}

static void* begin(void* unused) {
    ++begun;
    return unused;
}

static void beside(const char* name, void* (*first)(void*), void* (*second)(void*)) {
    pthread_t threads[3], fresh;
    stop = 0;
    SAME(pthread_create(&threads[0], NULL, compute, NULL), 0);
    usleep(50000);
    SAME(pthread_create(&threads[1], NULL, first, NULL), 0);
    SAME(pthread_create(&threads[2], NULL, second, NULL), 0);
    usleep(50000);
    for (int i = 0; i < 3; ++i) {
        SAME(pthread_create(&fresh, NULL, begin, NULL), 0);
        for (long before = computed; computed == before;) usleep(1000);
        SAME(pthread_join(fresh, NULL), 0);
    }
    stop = 1;
    for (int i = 0; i < 3; ++i) SAME(pthread_join(threads[i], NULL), 0);
    say("beside %s: all ran", name);
}

int main(void) {
    beside("one that computes and one that wakes often", compute_after_a_sleep, wake_often);
    beside("two that compute and give way", compute_and_yield, compute_and_yield);
    SAME(begun, 6);
    return 0;
}
