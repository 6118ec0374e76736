/* An interpreter's global lock, as CPython's: who wants it waits 5 ms on a condition variable, then
 * asks the holder to drop it; the holder looks at that request between its instructions, and when
 * it has dropped the lock waits until somebody else has taken it. Computing threads share it with
 * threads that release it around a sleep; all of them must get on.
 *
 * PARITY: switches=30 threads=10 timeout=20
 */
#include "thread.h"

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER, switch_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond, switch_cond;
static volatile int locked, drop_request;
static volatile long holder, switches;

static void take(long who) {
    pthread_mutex_lock(&mutex);
    while (locked) {
        long before = switches;
        struct timespec t = in_ms(CLOCK_MONOTONIC, 5);
        int error = 0;
        while (locked && error == 0) error = pthread_cond_timedwait(&cond, &mutex, &t);
        if (error == ETIMEDOUT && locked && switches == before) drop_request = 1;
    }
    pthread_mutex_lock(&switch_mutex);
    locked = 1;
    if (holder != who) switches++;
    holder = who;
    drop_request = 0;
    pthread_cond_signal(&switch_cond);
    pthread_mutex_unlock(&switch_mutex);
    pthread_mutex_unlock(&mutex);
}

static void drop(long who, int forced) {
    pthread_mutex_lock(&mutex);
    CHECK(locked && holder == who);
    locked = 0;
    pthread_cond_signal(&cond);
    pthread_mutex_unlock(&mutex);
    if (!forced) return;
    pthread_mutex_lock(&switch_mutex);
    while (holder == who) pthread_cond_wait(&switch_cond, &switch_mutex);
    pthread_mutex_unlock(&switch_mutex);
}

static long inside; /* protected by the global lock alone */
static volatile int sleepers_left = 5;

static void* compute(void* arg) {
    long who = (long)arg, x = 1;
    take(who);
    while (sleepers_left > 0) {
        CHECK(inside++ == 0);
        for (int i = 0; i < 10000; i++) x = x * 31 + i;
        inside--;
        if (drop_request) {
            drop(who, 1);
            take(who);
        }
    }
    drop(who, 0);
    return (void*)(x & 0);
}

static void* sleeps(void* arg) {
    long who = (long)arg;
    take(who);
    for (int i = 0; i < 4; i++) {
        CHECK(inside++ == 0);
        inside--;
        drop(who, 0);
        nap(3);
        take(who);
    }
    sleepers_left--;
    drop(who, 0);
    return NULL;
}

int main(void) {
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&cond, &attr);
    pthread_cond_init(&switch_cond, &attr);
    pthread_t thread[10];
    for (long i = 0; i < 5; i++) thread[i] = spawn(compute, (void*)(i + 1));
    for (long i = 5; i < 10; i++) thread[i] = spawn(sleeps, (void*)(i + 1));
    for (int i = 0; i < 10; i++) finish(thread[i]);
    SHOW_YES(switches >= 10);
    SHOW_LONG(inside);
    SHOW_LONG(sleepers_left);
    return 0;
}
