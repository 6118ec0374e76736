/* Reader-writer locks: readers share, a writer excludes, try and timed forms say EBUSY and
 * ETIMEDOUT, a writer that locks again is told EDEADLK, and many readers and writers keep two
 * numbers equal.
 *
 * PARITY: switches=200 threads=49
 */
#include "thread.h"

static pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
static pthread_barrier_t together;

static void* read_together(void* arg) {
    CHECK(pthread_rwlock_rdlock(&lock) == 0);
    pthread_barrier_wait(&together); /* passes only when all hold it at once */
    CHECK(pthread_rwlock_unlock(&lock) == 0);
    return arg;
}

static void* as_another_thread(void* arg) {
    struct timespec t;
    printf("%s\n", (char*)arg);
    int error = pthread_rwlock_tryrdlock(&lock);
    printf("tryrdlock: %s\n", result_name(error));
    if (error == 0) pthread_rwlock_unlock(&lock);
    error = pthread_rwlock_trywrlock(&lock);
    printf("trywrlock: %s\n", result_name(error));
    if (error == 0) pthread_rwlock_unlock(&lock);
    t = in_ms(CLOCK_REALTIME, 30);
    error = pthread_rwlock_timedrdlock(&lock, &t);
    printf("timedrdlock: %s\n", result_name(error));
    CHECK(error == 0 || reached(CLOCK_REALTIME, t));
    if (error == 0) pthread_rwlock_unlock(&lock);
    t = in_ms(CLOCK_REALTIME, 30);
    error = pthread_rwlock_timedwrlock(&lock, &t);
    printf("timedwrlock: %s\n", result_name(error));
    CHECK(error == 0 || reached(CLOCK_REALTIME, t));
    if (error == 0) pthread_rwlock_unlock(&lock);
    t = in_ms(CLOCK_MONOTONIC, 30);
    error = pthread_rwlock_clockrdlock(&lock, CLOCK_MONOTONIC, &t);
    printf("clockrdlock: %s\n", result_name(error));
    CHECK(error == 0 || reached(CLOCK_MONOTONIC, t));
    if (error == 0) pthread_rwlock_unlock(&lock);
    t = in_ms(CLOCK_MONOTONIC, 30);
    error = pthread_rwlock_clockwrlock(&lock, CLOCK_MONOTONIC, &t);
    printf("clockwrlock: %s\n", result_name(error));
    CHECK(error == 0 || reached(CLOCK_MONOTONIC, t));
    if (error == 0) pthread_rwlock_unlock(&lock);
    SHOW(pthread_rwlock_clockrdlock(&lock, CLOCK_PROCESS_CPUTIME_ID, &t));
    t.tv_nsec = 1000000000;
    SHOW(pthread_rwlock_timedwrlock(&lock, &t));
    return NULL;
}

static long left, right;

static void* reader(void* arg) {
    for (int i = 0; i < 20; i++) {
        CHECK(pthread_rwlock_rdlock(&lock) == 0);
        long a = left;
        sched_yield();
        CHECK(a == right && a == left);
        CHECK(pthread_rwlock_unlock(&lock) == 0);
        if (i % 5 == 0) usleep(50);
    }
    return arg;
}

static void* writer(void* arg) {
    for (int i = 0; i < 20; i++) {
        CHECK(pthread_rwlock_wrlock(&lock) == 0);
        left++;
        sched_yield();
        right++;
        CHECK(pthread_rwlock_unlock(&lock) == 0);
        if (i % 5 == 0) usleep(50);
    }
    return arg;
}

static void* write_once(void* arg) {
    CHECK(pthread_rwlock_wrlock(&lock) == 0);
    strcat(arg, " write");
    CHECK(pthread_rwlock_unlock(&lock) == 0);
    return NULL;
}

int main(void) {
    enum { sharing = 10, readers = 25, writers = 10 };
    pthread_t thread[readers + writers];
    pthread_barrier_init(&together, NULL, sharing);
    for (int i = 0; i < sharing; i++) thread[i] = spawn(read_together, NULL);
    for (int i = 0; i < sharing; i++) finish(thread[i]);
    puts("10 readers at once");

    finish(spawn(as_another_thread, "--- free"));
    SHOW(pthread_rwlock_rdlock(&lock));
    SHOW(pthread_rwlock_rdlock(&lock)); /* a reader may read again */
    finish(spawn(as_another_thread, "--- while main reads"));
    SHOW(pthread_rwlock_unlock(&lock));
    SHOW(pthread_rwlock_unlock(&lock));
    SHOW(pthread_rwlock_wrlock(&lock));
    finish(spawn(as_another_thread, "--- while main writes"));
    SHOW(pthread_rwlock_wrlock(&lock));
    SHOW(pthread_rwlock_rdlock(&lock));
    struct timespec t = in_ms(CLOCK_REALTIME, 30);
    SHOW(pthread_rwlock_timedwrlock(&lock, &t));
    SHOW(pthread_rwlock_unlock(&lock));

    char order[40] = "";
    SHOW(pthread_rwlock_rdlock(&lock));
    pthread_t waiting = spawn(write_once, order);
    nap(30);
    strcat(order, "read");
    SHOW(pthread_rwlock_unlock(&lock));
    finish(waiting);
    puts(order);

    for (int i = 0; i < readers; i++) thread[i] = spawn(reader, NULL);
    for (int i = readers; i < readers + writers; i++) thread[i] = spawn(writer, NULL);
    for (int i = 0; i < readers + writers; i++) finish(thread[i]);
    printf("%ld %ld\n", left, right);
    SHOW(pthread_rwlock_destroy(&lock));
    return 0;
}
