/* A hundred threads and four mutexes of different kinds: each owner waits in the middle of its
 * critical section, so that everyone contends; the mutex excludes, and nobody is forgotten.
 *
 * PARITY: switches=3000 threads=100
 */
#include "thread.h"

enum { threads = 100, rounds = 20, mutexes = 4 };
static pthread_mutex_t mutex[mutexes];
static long count[mutexes], inside[mutexes];

static void* body(void* arg) {
    for (int round = 0; round < rounds; round++) {
        long m = ((long)arg + round) % mutexes;
        CHECK(pthread_mutex_lock(&mutex[m]) == 0);
        CHECK(inside[m]++ == 0);
        long seen = count[m];
        sched_yield();
        if (round % 10 == 0) usleep(50);
        count[m] = seen + 1;
        CHECK(--inside[m] == 0);
        CHECK(pthread_mutex_unlock(&mutex[m]) == 0);
        sched_yield();
    }
    return NULL;
}

int main(void) {
    static const int kinds[mutexes] = {PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_RECURSIVE,
                                       PTHREAD_MUTEX_ERRORCHECK, PTHREAD_MUTEX_ADAPTIVE_NP};
    pthread_mutexattr_t attr;
    pthread_mutexattr_init(&attr);
    for (int m = 0; m < mutexes; m++) {
        pthread_mutexattr_settype(&attr, kinds[m]);
        pthread_mutex_init(&mutex[m], &attr);
    }
    pthread_t thread[threads];
    for (long i = 0; i < threads; i++) thread[i] = spawn(body, (void*)i);
    for (long i = 0; i < threads; i++) finish(thread[i]);
    for (int m = 0; m < mutexes; m++) printf("mutex %d: %ld\n", m, count[m]);
    return 0;
}
