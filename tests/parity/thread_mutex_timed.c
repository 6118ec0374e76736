/* Mutexes with a deadline: pthread_mutex_timedlock and pthread_mutex_clocklock on both clocks, for
 * each kind; deadlines in the past, impossible ones, and a lock that comes in time.
 *
 * PARITY: switches=20 threads=4
 */
#include "thread.h"

static pthread_mutex_t mutex;
static sem_t held, release;

static void* holder(void* arg) {
    CHECK(pthread_mutex_lock(&mutex) == 0);
    sem_post(&held);
    sem_wait(&release);
    nap(20);
    CHECK(pthread_mutex_unlock(&mutex) == 0);
    return arg;
}

static void run(const char* title, int kind) {
    printf("--- %s\n", title);
    pthread_mutexattr_t attr;
    pthread_mutexattr_init(&attr);
    pthread_mutexattr_settype(&attr, kind);
    pthread_mutex_init(&mutex, &attr);
    pthread_t thread = spawn(holder, NULL);
    sem_wait(&held);

    struct timespec t = in_ms(CLOCK_REALTIME, 30);
    SHOW(pthread_mutex_timedlock(&mutex, &t));
    CHECK(reached(CLOCK_REALTIME, t));
    t = in_ms(CLOCK_MONOTONIC, 30);
    SHOW(pthread_mutex_clocklock(&mutex, CLOCK_MONOTONIC, &t));
    CHECK(reached(CLOCK_MONOTONIC, t));
    t = in_ms(CLOCK_REALTIME, 30);
    SHOW(pthread_mutex_clocklock(&mutex, CLOCK_REALTIME, &t));
    CHECK(reached(CLOCK_REALTIME, t));
    SHOW(pthread_mutex_clocklock(&mutex, CLOCK_PROCESS_CPUTIME_ID, &t));
    t = in_ms(CLOCK_REALTIME, -5000);
    SHOW(pthread_mutex_timedlock(&mutex, &t));
    t = (struct timespec){-1, 0};
    SHOW(pthread_mutex_timedlock(&mutex, &t));
    t = (struct timespec){0, 0};
    SHOW(pthread_mutex_clocklock(&mutex, CLOCK_MONOTONIC, &t));
    t = in_ms(CLOCK_REALTIME, 60000);
    t.tv_nsec = 1000000000;
    SHOW(pthread_mutex_timedlock(&mutex, &t));
    t.tv_nsec = -1;
    SHOW(pthread_mutex_timedlock(&mutex, &t));
    SHOW(pthread_mutex_clocklock(&mutex, CLOCK_MONOTONIC, &t));
    SHOW(pthread_mutex_trylock(&mutex));

    sem_post(&release);
    t = in_ms(CLOCK_REALTIME, 60000);
    SHOW(pthread_mutex_timedlock(&mutex, &t));
    finish(thread);
    SHOW(pthread_mutex_unlock(&mutex));
    t = in_ms(CLOCK_MONOTONIC, -1);
    SHOW(pthread_mutex_clocklock(&mutex, CLOCK_MONOTONIC,
                                 &t)); /* free: the deadline is not looked at */
    SHOW(pthread_mutex_unlock(&mutex));
    SHOW(pthread_mutex_destroy(&mutex));
}

int main(void) {
    sem_init(&held, 0, 0);
    sem_init(&release, 0, 0);
    run("normal", PTHREAD_MUTEX_NORMAL);
    run("recursive", PTHREAD_MUTEX_RECURSIVE);
    run("errorcheck", PTHREAD_MUTEX_ERRORCHECK);
    run("adaptive", PTHREAD_MUTEX_ADAPTIVE_NP);
    return 0;
}
