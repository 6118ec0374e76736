/* Every kind of mutex, seen by its owner and by another thread: normal, recursive, error-checking,
 * adaptive; who may lock again, who may unlock, what destroy says of a locked one.
 *
 * PARITY: switches=16 threads=15
 */
#include "thread.h"

static pthread_mutex_t mutex;

static void* try_lock(void* arg) {
    (void)arg;
    int error = pthread_mutex_trylock(&mutex);
    if (error == 0) pthread_mutex_unlock(&mutex);
    return (void*)(long)error;
}

static void* just_unlock(void* arg) {
    (void)arg;
    return (void*)(long)pthread_mutex_unlock(&mutex);
}

static void* lock_and_count(void* arg) {
    CHECK(pthread_mutex_lock(&mutex) == 0);
    ++*(int*)arg;
    CHECK(pthread_mutex_unlock(&mutex) == 0);
    return NULL;
}

static void from_another_thread(const char* what, void* (*body)(void*)) {
    printf("another thread, %s: %s\n", what, result_name((long)finish(spawn(body, NULL))));
}

static void run(const char* title, int kind) {
    pthread_mutexattr_t attr;
    int got = -1;
    printf("--- %s\n", title);
    CHECK(pthread_mutexattr_init(&attr) == 0);
    SHOW(pthread_mutexattr_settype(&attr, kind));
    CHECK(pthread_mutexattr_gettype(&attr, &got) == 0 && got == kind);
    SHOW(pthread_mutex_init(&mutex, &attr));
    CHECK(pthread_mutexattr_destroy(&attr) == 0);

    SHOW(pthread_mutex_lock(&mutex));
    from_another_thread("trylock", try_lock);
    SHOW(pthread_mutex_trylock(&mutex));
    if (kind == PTHREAD_MUTEX_RECURSIVE) {
        SHOW(pthread_mutex_lock(&mutex));
        SHOW(pthread_mutex_unlock(&mutex));
        SHOW(pthread_mutex_unlock(&mutex));
        from_another_thread("trylock while it is held once", try_lock);
    }
    if (kind == PTHREAD_MUTEX_ERRORCHECK) {
        SHOW(pthread_mutex_lock(&mutex));
        struct timespec t = in_ms(CLOCK_REALTIME, 1000);
        SHOW(pthread_mutex_timedlock(&mutex, &t));
    }
    if (kind == PTHREAD_MUTEX_RECURSIVE || kind == PTHREAD_MUTEX_ERRORCHECK)
        from_another_thread("unlock", just_unlock);
    SHOW(pthread_mutex_destroy(&mutex));

    int count = 0;
    pthread_t waiter = spawn(lock_and_count, &count);
    nap(20); /* it waits for the mutex by now */
    CHECK(count == 0);
    SHOW(pthread_mutex_unlock(&mutex));
    finish(waiter);
    SHOW_LONG(count);
    if (kind == PTHREAD_MUTEX_RECURSIVE || kind == PTHREAD_MUTEX_ERRORCHECK)
        SHOW(pthread_mutex_unlock(&mutex));
    from_another_thread("trylock of a free one", try_lock);
    SHOW(pthread_mutex_destroy(&mutex));
    SHOW(pthread_mutex_lock(&mutex)); /* destroyed: its kind is invalid now */
}

int main(void) {
    run("normal", PTHREAD_MUTEX_NORMAL);
    run("recursive", PTHREAD_MUTEX_RECURSIVE);
    run("errorcheck", PTHREAD_MUTEX_ERRORCHECK);
    run("adaptive", PTHREAD_MUTEX_ADAPTIVE_NP);
    pthread_mutexattr_t attr;
    pthread_mutexattr_init(&attr);
    SHOW(pthread_mutexattr_settype(&attr, 77));
    return 0;
}
