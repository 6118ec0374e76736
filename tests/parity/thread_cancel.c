/* Cancellation as such: deferred until a cancellation point, held back while disabled, acted on by
 * pthread_testcancel, ignored by calls that are no cancellation points; handlers in order, then TSD
 * destructors, then PTHREAD_CANCELED for the joiner; the mutex is held again in the handler of a
 * cancelled condition wait; a cancelled join leaves its target joinable.
 *
 * PARITY: switches=40 threads=10
 */
#include "thread.h"

static sem_t ready, go;
static pthread_mutex_t mutex;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static pthread_key_t key;
static int stage;

static void say(void* text) { puts(text); }
static void key_destructor(void* text) { puts(text); }

static void run(const char* title, void* (*body)(void*)) {
    printf("--- %s\n", title);
    pthread_t thread = spawn(body, NULL);
    sem_wait(&ready);
    nap(20); /* it is where it wants to be */
    int error = pthread_cancel(thread);
    sem_post(&go);
    puts(finish(thread) == PTHREAD_CANCELED ? "PTHREAD_CANCELED" : "ended by itself");
    printf("pthread_cancel: %s\n", result_name(error));
    while (sem_trywait(&go) == 0) {
    }
}

static void* in_order(void* arg) {
    pthread_setspecific(key, "TSD destructor");
    pthread_cleanup_push(say, "handler 1");
    pthread_cleanup_push(say, "handler 2");
    pthread_cleanup_push(say, "handler 3");
    sem_post(&ready);
    sleep(1000);
    pthread_cleanup_pop(0);
    pthread_cleanup_pop(0);
    pthread_cleanup_pop(0);
    return arg;
}

static void* disabled(void* arg) {
    int old = -1;
    CHECK(pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &old) == 0);
    CHECK(old == PTHREAD_CANCEL_ENABLE);
    CHECK(pthread_setcancelstate(77, &old) == EINVAL);
    sem_post(&ready);
    while (sem_wait(&go) != 0) {
    }
    nap(5);
    pthread_testcancel();
    puts("still here while disabled");
    CHECK(pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &old) == 0);
    puts("enabled: not a cancellation point itself");
    pthread_testcancel();
    puts("not reached");
    return arg;
}

static void* no_points(void* arg) {
    sem_post(&ready);
    struct timespec end = in_ms(CLOCK_MONOTONIC, 100);
    while (!reached(CLOCK_MONOTONIC, end)) sched_yield();
    pthread_mutex_lock(&mutex);
    pthread_mutex_unlock(&mutex);
    pthread_rwlock_rdlock(&rwlock);
    pthread_rwlock_unlock(&rwlock);
    pthread_cond_broadcast(&cond);
    sem_trywait(&go);
    sem_post(&ready);
    sched_yield();
    pthread_kill(pthread_self(), 0);
    free(malloc(1));
    getpid();
    CHECK(sem_trywait(&ready) == 0);
    puts("no cancellation point so far");
    pthread_testcancel();
    return arg;
}

static void* at_once(void* arg) {
    CHECK(pthread_cancel(pthread_self()) == 0); /* deferred: nothing happens yet */
    puts("cancelled myself");
    sem_post(&ready);
    usleep(1);
    puts("not reached");
    return arg;
}

static void unlock_in_handler(void* arg) {
    (void)arg;
    SHOW(pthread_mutex_unlock(&mutex)); /* error-checking: EPERM if it were not held */
}

static void* in_cond_wait(void* arg) {
    CHECK(pthread_mutex_lock(&mutex) == 0);
    pthread_cleanup_push(unlock_in_handler, NULL);
    sem_post(&ready);
    for (;;) pthread_cond_wait(&cond, &mutex);
    pthread_cleanup_pop(0);
    return arg;
}

static void* in_cond_timedwait(void* arg) {
    CHECK(pthread_mutex_lock(&mutex) == 0);
    pthread_cleanup_push(unlock_in_handler, NULL);
    sem_post(&ready);
    struct timespec t = in_ms(CLOCK_REALTIME, 1000000);
    for (;;) pthread_cond_timedwait(&cond, &mutex, &t);
    pthread_cleanup_pop(0);
    return arg;
}

static pthread_t target;

static void* in_join(void* arg) {
    sem_post(&ready);
    pthread_join(target, NULL);
    return arg;
}

static void* wait_for_stage(void* arg) {
    while (__atomic_load_n(&stage, __ATOMIC_SEQ_CST) == 0) nap(1);
    return arg;
}

static void* handler_waits(void* arg) {
    struct timespec t = {0, 10000000};
    nanosleep(&t, NULL); /* a thread on its way out is not cancelled again */
    sched_yield();
    puts(arg);
    return NULL;
}

static void slow_handler(void* text) { handler_waits(text); }

static void* waits_in_handler(void* arg) {
    pthread_cleanup_push(slow_handler, "the handler waited");
    sem_post(&ready);
    sleep(100000);
    pthread_cleanup_pop(0);
    return arg;
}

static void* quick(void* arg) { return arg; }

int main(void) {
    pthread_mutexattr_t attr;
    pthread_mutexattr_init(&attr);
    pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ERRORCHECK);
    pthread_mutex_init(&mutex, &attr);
    pthread_key_create(&key, key_destructor);
    sem_init(&ready, 0, 0);
    sem_init(&go, 0, 0);
    run("handlers in order", in_order);
    run("disabled, then enabled", disabled);
    run("calls that are no cancellation points", no_points);
    run("by itself", at_once);
    run("in pthread_cond_wait", in_cond_wait);
    run("in pthread_cond_timedwait", in_cond_timedwait);
    SHOW(pthread_mutex_lock(&mutex)); /* free again */
    SHOW(pthread_mutex_unlock(&mutex));
    target = spawn(wait_for_stage, (void*)5L);
    run("in pthread_join", in_join);
    __atomic_store_n(&stage, 1, __ATOMIC_SEQ_CST);
    SHOW_LONG(finish(target));
    run("a handler that waits", waits_in_handler);

    puts("--- after the end");
    pthread_t thread = spawn(quick, (void*)6L);
    nap(30);
    SHOW(pthread_cancel(thread)); /* ended, not joined */
    SHOW_LONG(finish(thread));
    return 0;
}
