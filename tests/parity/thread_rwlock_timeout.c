/* A lock that prefers writers lets readers wait behind a waiting writer. When that writer gives up
 * (its time is over), the readers behind it must get in although the first reader still holds the
 * lock, and a second waiting writer keeps them out until it gives up as well.
 *
 * PARITY: switches=10 threads=12 timeout=20
 */
#include "thread.h"

static pthread_rwlock_t lock;
static int inside;

static void* write_timed(void* arg) {
    struct timespec t = in_ms(CLOCK_REALTIME, (long)(intptr_t)arg);
    CHECK(pthread_rwlock_timedwrlock(&lock, &t) == ETIMEDOUT);
    CHECK(reached(CLOCK_REALTIME, t));
    return NULL;
}

static void* write_clock(void* arg) {
    struct timespec t = in_ms(CLOCK_MONOTONIC, (long)(intptr_t)arg);
    CHECK(pthread_rwlock_clockwrlock(&lock, CLOCK_MONOTONIC, &t) == ETIMEDOUT);
    CHECK(reached(CLOCK_MONOTONIC, t));
    return NULL;
}

static void* read_behind(void* arg) {
    CHECK(pthread_rwlock_rdlock(&lock) == 0);
    __atomic_add_fetch(&inside, 1, __ATOMIC_SEQ_CST);
    CHECK(pthread_rwlock_unlock(&lock) == 0);
    return arg;
}

static void* write_at_last(void* arg) {
    CHECK(pthread_rwlock_wrlock(&lock) == 0);
    puts("a writer that waited without a limit");
    CHECK(pthread_rwlock_unlock(&lock) == 0);
    return arg;
}

int main(void) {
    enum { readers = 4 };
    pthread_t reader[readers];
    pthread_rwlockattr_t attributes;
    CHECK(pthread_rwlockattr_init(&attributes) == 0);
    CHECK(pthread_rwlockattr_setkind_np(&attributes,
                                        PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP) == 0);
    CHECK(pthread_rwlock_init(&lock, &attributes) == 0);

    CHECK(pthread_rwlock_rdlock(&lock) == 0);
    pthread_t writer = spawn(write_timed, (void*)150);
    nap(50);
    for (int i = 0; i < readers; i++) reader[i] = spawn(read_behind, NULL);
    finish(writer);
    for (int i = 0; i < readers; i++) finish(reader[i]);
    SHOW_LONG(inside);

    pthread_t writers[] = {spawn(write_timed, (void*)100), spawn(write_clock, (void*)200)};
    nap(50);
    for (int i = 0; i < readers; i++) reader[i] = spawn(read_behind, NULL);
    for (int i = 0; i < 2; i++) finish(writers[i]);
    for (int i = 0; i < readers; i++) finish(reader[i]);
    SHOW_LONG(inside);

    writer = spawn(write_at_last, NULL);
    nap(20);
    finish(spawn(write_timed, (void*)50)); /* the other writer still waits */
    SHOW(pthread_rwlock_tryrdlock(&lock));
    SHOW(pthread_rwlock_unlock(&lock));
    finish(writer);
    SHOW(pthread_rwlock_destroy(&lock));
    return 0;
}
