/* Condition variables: one signal wakes at least one, a broadcast wakes all, a signal without a
 * waiter is forgotten, the mutex is held again on return; and a bounded buffer between several
 * producers and consumers loses and doubles nothing. Which waiter wakes first is nobody's business.
 *
 * PARITY: switches=150 threads=36
 */
#include "thread.h"

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER, arrived = PTHREAD_COND_INITIALIZER;
static int waiting, tickets, passed;

static void* take_ticket(void* arg) {
    CHECK(pthread_mutex_lock(&mutex) == 0);
    waiting++;
    CHECK(pthread_cond_signal(&arrived) == 0);
    while (tickets == 0) CHECK(pthread_cond_wait(&cond, &mutex) == 0);
    CHECK(pthread_mutex_trylock(&mutex) == EBUSY); /* held, by this thread */
    tickets--;
    passed++;
    CHECK(pthread_cond_signal(&arrived) == 0);
    CHECK(pthread_mutex_unlock(&mutex) == 0);
    return arg;
}

static void tickets_one_by_one(void) {
    enum { threads = 20 };
    pthread_t thread[threads];
    for (int i = 0; i < threads; i++) thread[i] = spawn(take_ticket, NULL);
    pthread_mutex_lock(&mutex);
    while (waiting < threads) pthread_cond_wait(&arrived, &mutex);
    for (int i = 1; i <= 10; i++) {
        tickets++;
        CHECK(pthread_cond_signal(&cond) == 0);
        while (passed < i) pthread_cond_wait(&arrived, &mutex);
        CHECK(passed == i && tickets == 0);
    }
    puts("10 by signal");
    tickets = 10;
    CHECK(pthread_cond_broadcast(&cond) == 0);
    while (passed < threads) pthread_cond_wait(&arrived, &mutex);
    pthread_mutex_unlock(&mutex);
    puts("10 by broadcast");
    for (int i = 0; i < threads; i++) finish(thread[i]);
}

enum { slots = 5, producers = 8, consumers = 8, items = 50 };
static int buffer[slots], used, first, produced_all;
static pthread_cond_t not_full = PTHREAD_COND_INITIALIZER, not_empty = PTHREAD_COND_INITIALIZER;
static char seen[producers * items];

static void* produce(void* arg) {
    for (int i = 0; i < items; i++) {
        pthread_mutex_lock(&mutex);
        while (used == slots) pthread_cond_wait(&not_full, &mutex);
        buffer[(first + used++) % slots] = (int)(long)arg * items + i;
        pthread_cond_signal(&not_empty);
        pthread_mutex_unlock(&mutex);
        if (i % 16 == 0) sched_yield();
    }
    return NULL;
}

static void* consume(void* arg) {
    (void)arg;
    long sum = 0;
    for (;;) {
        pthread_mutex_lock(&mutex);
        while (used == 0 && !produced_all) pthread_cond_wait(&not_empty, &mutex);
        if (used == 0) break;
        int item = buffer[first];
        first = (first + 1) % slots;
        used--;
        CHECK(!seen[item]++);
        pthread_cond_signal(&not_full);
        pthread_mutex_unlock(&mutex);
        sum += item;
    }
    pthread_mutex_unlock(&mutex);
    return (void*)sum;
}

int main(void) {
    SHOW(pthread_cond_signal(&cond)); /* nobody waits: forgotten */
    SHOW(pthread_cond_broadcast(&cond));
    tickets_one_by_one();

    pthread_t producer[producers], consumer[consumers];
    for (long i = 0; i < consumers; i++) consumer[i] = spawn(consume, (void*)i);
    for (long i = 0; i < producers; i++) producer[i] = spawn(produce, (void*)i);
    for (int i = 0; i < producers; i++) finish(producer[i]);
    pthread_mutex_lock(&mutex);
    produced_all = 1;
    pthread_cond_broadcast(&not_empty);
    pthread_mutex_unlock(&mutex);
    long sum = 0, all = 0;
    for (int i = 0; i < consumers; i++) sum += (long)finish(consumer[i]);
    for (int i = 0; i < producers * items; i++) all += seen[i];
    printf("%ld items, sum %ld\n", all, sum);
    SHOW(pthread_cond_destroy(&cond));
    SHOW(pthread_cond_destroy(&not_empty));
    return 0;
}
