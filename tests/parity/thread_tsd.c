/* Thread-specific data: values per thread, destructors at the thread's end in up to four rounds
 * with the value cleared before, none for NULL or for a deleted key, a thousand keys at once,
 * EAGAIN at the limit, and a destructor that itself waits.
 *
 * PARITY: switches=150 threads=53
 */
#include "thread.h"

#include <limits.h>

enum { threads = 50, keys = 1000 };
static pthread_key_t key[keys], round_key, deleted_key, slow_key;
static pthread_barrier_t barrier;
static long destroyed, rounds_seen, slow_done;
static long values[threads][keys];

static void count_destroyed(void* value) {
    __atomic_add_fetch(&destroyed, 1, __ATOMIC_SEQ_CST);
    CHECK(*(long*)value != 0);
}

static void set_again(void* value) {
    CHECK(pthread_getspecific(round_key) == NULL);
    rounds_seen++;
    CHECK(pthread_setspecific(round_key, value) == 0); /* for ever: libc gives up */
}

static void must_not_run(void* value) {
    (void)value;
    CHECK(!"destructor of a deleted key");
}

static void slow(void* value) {
    nap(10);
    *(long*)value += 1;
}

static void* body(void* arg) {
    long i = (long)arg;
    for (int k = 0; k < keys; k++) {
        CHECK(pthread_getspecific(key[k]) == NULL);
        values[i][k] = i * keys + k + 1;
        CHECK(pthread_setspecific(key[k], &values[i][k]) == 0);
    }
    pthread_barrier_wait(&barrier);
    for (int k = 0; k < keys; k++) CHECK(*(long*)pthread_getspecific(key[k]) == i * keys + k + 1);
    for (int k = 0; k < keys; k += 2) CHECK(pthread_setspecific(key[k], NULL) == 0);
    pthread_barrier_wait(&barrier);
    for (int k = 0; k < keys; k++)
        CHECK(pthread_getspecific(key[k]) == (k % 2 ? &values[i][k] : NULL));
    return NULL;
}

static void* rounds(void* arg) {
    CHECK(pthread_setspecific(round_key, arg) == 0);
    CHECK(pthread_setspecific(deleted_key, arg) == 0);
    CHECK(pthread_key_delete(deleted_key) == 0);
    return NULL;
}

static void* with_slow_destructor(void* arg) {
    CHECK(pthread_setspecific(slow_key, arg) == 0);
    return NULL;
}

int main(void) {
    for (int k = 0; k < keys; k++) CHECK(pthread_key_create(&key[k], count_destroyed) == 0);
    pthread_barrier_init(&barrier, NULL, threads);
    pthread_t thread[threads];
    for (long i = 0; i < threads; i++) thread[i] = spawn(body, (void*)i);
    for (long i = 0; i < threads; i++) finish(thread[i]);
    SHOW_LONG(destroyed);
    SHOW_YES(pthread_getspecific(key[1]) == NULL);

    pthread_key_t more[PTHREAD_KEYS_MAX];
    int made = 0, error;
    while ((error = pthread_key_create(&more[made], NULL)) == 0) made++;
    SHOW(error);
    SHOW_YES(made > 0 && made <= PTHREAD_KEYS_MAX - keys);
    for (int i = 0; i < made; i++) CHECK(pthread_key_delete(more[i]) == 0);
    SHOW(pthread_key_delete(more[0]));
    SHOW(pthread_setspecific(more[0], &error));

    SHOW(pthread_key_create(&round_key, set_again));
    SHOW(pthread_key_create(&deleted_key, must_not_run));
    SHOW(pthread_key_create(&slow_key, slow));
    SHOW_YES(pthread_getspecific(round_key) == NULL);
    finish(spawn(rounds, &made));
    SHOW_LONG(rounds_seen);
    thread[0] = spawn(with_slow_destructor, &slow_done);
    thread[1] = spawn(with_slow_destructor, &slow_done);
    finish(thread[0]);
    finish(thread[1]);
    SHOW_LONG(slow_done);
    return 0;
}
