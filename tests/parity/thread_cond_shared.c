/* A condition variable and its mutex in memory shared with a forked child: parent and child, each
 * with a second thread, pass a number to and fro; a timed wait for the other process times out
 * while the own second thread runs.
 *
 * PARITY: switches=40 threads=1 kernel_threads=9
 */
#include "thread.h"

#include <sys/mman.h>

struct Shared {
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    long turn;
};
static struct Shared* shared;

static void play(long parity, long last) {
    pthread_mutex_lock(&shared->mutex);
    while (shared->turn < last) {
        while (shared->turn % 2 != parity) pthread_cond_wait(&shared->cond, &shared->mutex);
        shared->turn++;
        pthread_cond_broadcast(&shared->cond);
    }
    pthread_mutex_unlock(&shared->mutex);
}

static volatile int stop;

static void* ticker(void* arg) {
    long ticks = 0;
    while (!__atomic_load_n(&stop, __ATOMIC_SEQ_CST)) {
        nap(2);
        ticks++;
    }
    CHECK(ticks >= 10);
    return arg;
}

int main(void) {
    shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(shared != MAP_FAILED);
    pthread_mutexattr_t mutexattr;
    pthread_condattr_t condattr;
    pthread_mutexattr_init(&mutexattr);
    pthread_condattr_init(&condattr);
    SHOW(pthread_mutexattr_setpshared(&mutexattr, PTHREAD_PROCESS_SHARED));
    SHOW(pthread_condattr_setpshared(&condattr, PTHREAD_PROCESS_SHARED));
    SHOW(pthread_condattr_setclock(&condattr, CLOCK_MONOTONIC));
    SHOW(pthread_mutex_init(&shared->mutex, &mutexattr));
    SHOW(pthread_cond_init(&shared->cond, &condattr));
    fflush(stdout);

    pid_t child = fork();
    CHECK(child >= 0);
    pthread_t tick = spawn(ticker, NULL);
    play(child == 0, 1000);

    pthread_mutex_lock(&shared->mutex);
    struct timespec t = in_ms(CLOCK_MONOTONIC, 200);
    int error = 0;
    while (error == 0) error = pthread_cond_timedwait(&shared->cond, &shared->mutex, &t);
    CHECK(error == ETIMEDOUT && reached(CLOCK_MONOTONIC, t));
    pthread_mutex_unlock(&shared->mutex);
    __atomic_store_n(&stop, 1, __ATOMIC_SEQ_CST);
    finish(tick);
    if (child == 0) _exit(9);
    SHOW_LONG(child_status(child));
    SHOW_LONG(shared->turn >= 1000);
    return 0;
}
