/* Priority mutexes: inheritance (an ordinary lock to ordinary threads, contended here by several)
 * and protection by a ceiling, which a thread of the normal scheduling class may not take.
 *
 * PARITY: switches=100 threads=11
 */
#include "thread.h"

enum { threads = 10, rounds = 20 };
static pthread_mutex_t mutex;
static long count;

static void* body(void* arg) {
    for (int round = 0; round < rounds; round++) {
        CHECK(pthread_mutex_lock(&mutex) == 0);
        long seen = count;
        sched_yield();
        if (round % 5 == 0) usleep(100);
        count = seen + 1;
        CHECK(pthread_mutex_unlock(&mutex) == 0);
    }
    return arg;
}

static void* try_lock(void* arg) {
    (void)arg;
    struct timespec t = in_ms(CLOCK_REALTIME, 30);
    SHOW(pthread_mutex_trylock(&mutex));
    SHOW(pthread_mutex_timedlock(&mutex, &t));
    t.tv_sec = -1; /* refused, where other mutexes say that it has passed */
    SHOW(pthread_mutex_timedlock(&mutex, &t));
    return NULL;
}

int main(void) {
    pthread_mutexattr_t attr;
    int ceiling = 0, protocol = -1;
    pthread_mutexattr_init(&attr);

    puts("--- inherit");
    SHOW(pthread_mutexattr_setprotocol(&attr, PTHREAD_PRIO_INHERIT));
    SHOW(pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ERRORCHECK));
    SHOW(pthread_mutexattr_getprotocol(&attr, &protocol));
    SHOW_YES(protocol == PTHREAD_PRIO_INHERIT);
    SHOW(pthread_mutex_init(&mutex, &attr));
    pthread_t thread[threads];
    for (long i = 0; i < threads; i++) thread[i] = spawn(body, NULL);
    for (long i = 0; i < threads; i++) finish(thread[i]);
    SHOW_LONG(count);
    SHOW(pthread_mutex_lock(&mutex));
    SHOW(pthread_mutex_lock(&mutex));
    finish(spawn(try_lock, NULL));
    SHOW(pthread_mutex_unlock(&mutex));
    SHOW(pthread_mutex_unlock(&mutex));
    SHOW(pthread_mutex_getprioceiling(&mutex, &ceiling));
    SHOW(pthread_mutex_destroy(&mutex));

    puts("--- protect");
    SHOW(pthread_mutexattr_setprotocol(&attr, PTHREAD_PRIO_PROTECT));
    SHOW(pthread_mutexattr_setprioceiling(&attr, 0));
    SHOW(pthread_mutexattr_setprioceiling(&attr, 10));
    SHOW(pthread_mutex_init(&mutex, &attr));
    SHOW(pthread_mutex_getprioceiling(&mutex, &ceiling));
    SHOW_LONG(ceiling);
    SHOW(pthread_mutex_lock(&mutex));
    SHOW(pthread_mutex_destroy(&mutex));
    SHOW(pthread_mutexattr_setprotocol(&attr, 9));
    return 0;
}
