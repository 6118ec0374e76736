/* Unnamed semaphores: values, try, timed and clock forms with their errors, overflow, posts by
 * other threads, a pool of permits that is never exceeded, and a thousand tokens passed round a
 * ring.
 *
 * PARITY: switches=1000 threads=60
 */
#include "thread.h"

#include <limits.h>

enum { workers = 40, permits = 5, ring = 20, laps = 50 };
static sem_t semaphore, pool, station[ring];
static int inside, most;
static long passed[ring];

static int value_of(sem_t* s) {
    int value = -1;
    CHECK(sem_getvalue(s, &value) == 0);
    return value;
}

static void* post_soon(void* arg) {
    nap(30);
    CHECK(sem_post(arg) == 0);
    return NULL;
}

static void* use_permit(void* arg) {
    for (int i = 0; i < 5; i++) {
        CHECK(sem_wait(&pool) == 0);
        int now = __atomic_add_fetch(&inside, 1, __ATOMIC_SEQ_CST);
        CHECK(now <= permits);
        int top = __atomic_load_n(&most, __ATOMIC_SEQ_CST);
        while (now > top && !__atomic_compare_exchange_n(&most, &top, now, 0, __ATOMIC_SEQ_CST,
                                                         __ATOMIC_SEQ_CST)) {
        }
        nap(1);
        __atomic_sub_fetch(&inside, 1, __ATOMIC_SEQ_CST);
        CHECK(sem_post(&pool) == 0);
    }
    return arg;
}

static void* pass_on(void* arg) {
    long i = (long)arg;
    for (int lap = 0; lap < laps; lap++) {
        CHECK(sem_wait(&station[i]) == 0);
        passed[i]++;
        CHECK(sem_post(&station[(i + 1) % ring]) == 0);
    }
    return NULL;
}

int main(void) {
    pthread_t thread[workers];
    struct timespec t;
    SHOW(sem_init(&semaphore, 0, (unsigned)SEM_VALUE_MAX + 1));
    SHOW(sem_init(&semaphore, 0, 2));
    SHOW(sem_wait(&semaphore));
    SHOW(sem_trywait(&semaphore));
    SHOW(sem_trywait(&semaphore));
    SHOW_LONG(value_of(&semaphore));
    t = in_ms(CLOCK_REALTIME, 30);
    SHOW(sem_timedwait(&semaphore, &t));
    CHECK(reached(CLOCK_REALTIME, t));
    t = in_ms(CLOCK_MONOTONIC, 30);
    SHOW(sem_clockwait(&semaphore, CLOCK_MONOTONIC, &t));
    CHECK(reached(CLOCK_MONOTONIC, t));
    t = in_ms(CLOCK_REALTIME, 30);
    SHOW(sem_clockwait(&semaphore, CLOCK_REALTIME, &t));
    SHOW(sem_clockwait(&semaphore, CLOCK_PROCESS_CPUTIME_ID, &t));
    t = in_ms(CLOCK_REALTIME, -5000);
    SHOW(sem_timedwait(&semaphore, &t));
    t = in_ms(CLOCK_REALTIME, 60000);
    t.tv_nsec = 1000000000;
    SHOW(sem_timedwait(&semaphore, &t));
    SHOW(sem_post(&semaphore));
    SHOW(sem_timedwait(&semaphore, &t)); /* available: but the deadline is looked at first */
    while (sem_trywait(&semaphore) == 0) {
    }
    SHOW_LONG(value_of(&semaphore));

    puts("--- posted by another thread");
    thread[0] = spawn(post_soon, &semaphore);
    SHOW(sem_wait(&semaphore));
    finish(thread[0]);
    thread[0] = spawn(post_soon, &semaphore);
    t = in_ms(CLOCK_REALTIME, 60000);
    SHOW(sem_timedwait(&semaphore, &t));
    finish(thread[0]);
    thread[0] = spawn(post_soon, &semaphore);
    t = in_ms(CLOCK_MONOTONIC, 60000);
    SHOW(sem_clockwait(&semaphore, CLOCK_MONOTONIC, &t));
    finish(thread[0]);
    SHOW(sem_destroy(&semaphore));

    puts("--- overflow");
    SHOW(sem_init(&semaphore, 0, SEM_VALUE_MAX));
    SHOW(sem_post(&semaphore));
    SHOW_YES(value_of(&semaphore) == SEM_VALUE_MAX);

    puts("--- a pool of permits");
    sem_init(&pool, 0, permits);
    for (int i = 0; i < workers; i++) thread[i] = spawn(use_permit, NULL);
    for (int i = 0; i < workers; i++) finish(thread[i]);
    SHOW_YES(most > 1 && most <= permits);
    SHOW_LONG(value_of(&pool));

    puts("--- a ring");
    for (long i = 0; i < ring; i++) {
        sem_init(&station[i], 0, 0);
        thread[i] = spawn(pass_on, (void*)i);
    }
    sem_post(&station[0]);
    long sum = 0;
    for (long i = 0; i < ring; i++) {
        finish(thread[i]);
        sum += passed[i];
    }
    SHOW_LONG(sum);
    SHOW_LONG(value_of(&station[0]));
    return 0;
}
