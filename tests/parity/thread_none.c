/* A program that uses all of pthreads and never makes a thread: locks, timed waits, semaphores,
 * once, thread-specific data, sleeps ended by a signal, a fork. All of it is what libc and the
 * kernel do.
 *
 * PARITY: dormant=1
 */
#include "thread.h"

#include <signal.h>
#include <sys/time.h>

static int once_runs, alarms;
static void once(void) { once_runs++; }
static void on_alarm(int number) { alarms += number == SIGALRM; }
static void key_destructor(void* text) { puts(text); }

/* Every so many milliseconds, so that none is lost between the setting and the call to interrupt.
 */
static void alarms_every_ms(long ms) {
    struct itimerval t = {{0, ms * 1000}, {0, ms * 1000}};
    CHECK(setitimer(ITIMER_REAL, &t, NULL) == 0);
}

int main(void) {
    pthread_mutex_t mutex = PTHREAD_ERRORCHECK_MUTEX_INITIALIZER_NP;
    pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
    pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
    pthread_once_t control = PTHREAD_ONCE_INIT;
    pthread_barrier_t barrier;
    pthread_key_t key;
    sem_t semaphore;
    struct timespec t;

    SHOW(pthread_mutex_lock(&mutex));
    SHOW(pthread_mutex_lock(&mutex));
    t = in_ms(CLOCK_REALTIME, 20);
    int error = 0;
    while (error == 0) error = pthread_cond_timedwait(&cond, &mutex, &t);
    SHOW(error);
    CHECK(reached(CLOCK_REALTIME, t));
    SHOW(pthread_cond_signal(&cond));
    SHOW(pthread_mutex_unlock(&mutex));
    SHOW(pthread_mutex_unlock(&mutex));
    SHOW(pthread_rwlock_wrlock(&rwlock));
    SHOW(pthread_rwlock_wrlock(&rwlock));
    SHOW(pthread_rwlock_unlock(&rwlock));
    SHOW(pthread_once(&control, once));
    SHOW(pthread_once(&control, once));
    SHOW_LONG(once_runs);
    CHECK(pthread_barrier_init(&barrier, NULL, 1) == 0);
    SHOW_YES(pthread_barrier_wait(&barrier) == PTHREAD_BARRIER_SERIAL_THREAD);
    CHECK(pthread_key_create(&key, key_destructor) == 0);
    SHOW(pthread_setspecific(key, "not called: main returns"));
    SHOW(pthread_join(pthread_self(), NULL));
    SHOW(sched_yield());
    SHOW_YES(gettid() == getpid());

    struct sigaction action = {.sa_handler = on_alarm};
    sigemptyset(&action.sa_mask);
    CHECK(sigaction(SIGALRM, &action, NULL) == 0);
    sem_init(&semaphore, 0, 0);
    alarms_every_ms(20);
    SHOW(sem_wait(&semaphore));
    SHOW(nanosleep(&(struct timespec){1000, 0}, &t));
    SHOW_YES(t.tv_sec >= 900);
    SHOW(pause());
    alarms_every_ms(0);
    SHOW_YES(alarms >= 3);
    t = in_ms(CLOCK_REALTIME, 20);
    SHOW(sem_timedwait(&semaphore, &t));
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) _exit(6);
    SHOW_LONG(child_status(child));
    return 0;
}
