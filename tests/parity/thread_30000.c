/* Thirty thousand threads alive at once, with default attributes for one in ten and 64 KiB stacks
 * for the rest, all waiting on one condition variable; then all are released and joined. The
 * kernel's limits on threads and mappings make this a gamble natively, so the output is in a file.
 *
 * PARITY: switches=60000 threads=30000 native=0 timeout=120
 */
#include "thread.h"

enum { threads = 30000 };
static pthread_t thread[threads];
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER, all_here = PTHREAD_COND_INITIALIZER;
static int waiting, released;
static __thread long own = -1;

static void* body(void* arg) {
    own = (long)arg;
    CHECK(pthread_mutex_lock(&mutex) == 0);
    if (++waiting == threads) pthread_cond_signal(&all_here);
    while (!released) CHECK(pthread_cond_wait(&cond, &mutex) == 0);
    waiting--;
    CHECK(pthread_mutex_unlock(&mutex) == 0);
    CHECK(own == (long)arg);
    return (void*)(own * 3);
}

int main(void) {
    pthread_attr_t small;
    pthread_attr_init(&small);
    CHECK(pthread_attr_setstacksize(&small, 64 << 10) == 0);
    for (long i = 0; i < threads; i++) {
        int error = pthread_create(&thread[i], i % 10 ? &small : NULL, body, (void*)i);
        if (error != 0) printf("thread %ld: %s\n", i, result_name(error));
        CHECK(error == 0);
    }
    pthread_mutex_lock(&mutex);
    while (waiting < threads) pthread_cond_wait(&all_here, &mutex);
    printf("waiting: %d\n", waiting);
    released = 1;
    pthread_cond_broadcast(&cond);
    pthread_mutex_unlock(&mutex);
    long sum = 0;
    for (long i = 0; i < threads; i++) sum += (long)finish(thread[i]);
    printf("sum: %ld\n", sum);
    printf("waiting: %d\n", waiting);
    return 0;
}
