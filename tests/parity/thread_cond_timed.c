/* Condition variables with a deadline: timedwait on the clock of the attribute, clockwait on
 * either; the mutex is held after a timeout too; deadlines in the past and impossible ones; a
 * signal in time.
 *
 * PARITY: switches=20 threads=5
 */
#include "thread.h"

static pthread_mutex_t mutex;
static pthread_cond_t cond;
static int go;

static void* signal_soon(void* arg) {
    nap(30);
    pthread_mutex_lock(&mutex);
    go = 1;
    pthread_cond_signal(&cond);
    pthread_mutex_unlock(&mutex);
    return arg;
}

static void* use_mutex(void* arg) {
    CHECK(pthread_mutex_lock(&mutex) == 0); /* only while the waiter waits */
    ++*(int*)arg;
    CHECK(pthread_mutex_unlock(&mutex) == 0);
    return NULL;
}

static void run(const char* title, clockid_t clock) {
    pthread_condattr_t attr;
    clockid_t got = -1;
    struct timespec t;
    printf("--- %s\n", title);
    pthread_condattr_init(&attr);
    SHOW(pthread_condattr_setclock(&attr, clock));
    CHECK(pthread_condattr_getclock(&attr, &got) == 0 && got == clock);
    SHOW(pthread_cond_init(&cond, &attr));
    pthread_condattr_destroy(&attr);

    CHECK(pthread_mutex_lock(&mutex) == 0);
    int used = 0;
    pthread_t user = spawn(use_mutex, &used);
    int error = 0;
    t = in_ms(clock, 200);
    while (error == 0) error = pthread_cond_timedwait(&cond, &mutex, &t);
    SHOW(error);
    CHECK(reached(clock, t));
    SHOW_LONG(used);                    /* the mutex was free meanwhile */
    SHOW(pthread_mutex_unlock(&mutex)); /* and is held again: it checks its owner */
    SHOW(pthread_mutex_lock(&mutex));
    finish(user);

    t = in_ms(CLOCK_REALTIME, 30);
    while ((error = pthread_cond_clockwait(&cond, &mutex, CLOCK_REALTIME, &t)) == 0) {
    }
    SHOW(error);
    CHECK(reached(CLOCK_REALTIME, t));
    t = in_ms(CLOCK_MONOTONIC, 30);
    while ((error = pthread_cond_clockwait(&cond, &mutex, CLOCK_MONOTONIC, &t)) == 0) {
    }
    SHOW(error);
    CHECK(reached(CLOCK_MONOTONIC, t));
    SHOW(pthread_cond_clockwait(&cond, &mutex, CLOCK_PROCESS_CPUTIME_ID, &t));
    t = in_ms(clock, -10000);
    SHOW(pthread_cond_timedwait(&cond, &mutex, &t));
    t.tv_sec = -5;
    SHOW(pthread_cond_timedwait(&cond, &mutex, &t));
    t.tv_nsec = 1000000000;
    SHOW(pthread_cond_timedwait(&cond, &mutex, &t));
    t.tv_nsec = -1;
    SHOW(pthread_cond_clockwait(&cond, &mutex, CLOCK_MONOTONIC, &t));

    go = 0;
    pthread_t signaller = spawn(signal_soon, NULL);
    t = in_ms(clock, 60000);
    while (!go) CHECK(pthread_cond_timedwait(&cond, &mutex, &t) == 0);
    finish(signaller);
    signaller = spawn(signal_soon, NULL);
    go = 0;
    t = in_ms(CLOCK_MONOTONIC, 60000);
    while (!go) CHECK(pthread_cond_clockwait(&cond, &mutex, CLOCK_MONOTONIC, &t) == 0);
    SHOW(pthread_mutex_unlock(&mutex));
    finish(signaller);
    SHOW(pthread_cond_destroy(&cond));
}

int main(void) {
    pthread_mutexattr_t attr;
    pthread_condattr_t condattr;
    pthread_mutexattr_init(&attr);
    pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ERRORCHECK);
    pthread_mutex_init(&mutex, &attr);
    run("realtime", CLOCK_REALTIME);
    run("monotonic", CLOCK_MONOTONIC);
    pthread_condattr_init(&condattr);
    SHOW(pthread_condattr_setclock(&condattr, CLOCK_PROCESS_CPUTIME_ID));
    SHOW(pthread_cond_wait(&cond, &mutex)); /* the mutex is not held */
    return 0;
}
