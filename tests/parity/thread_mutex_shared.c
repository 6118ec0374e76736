/* Mutexes in memory shared by a parent and two forked children, each process with several threads:
 * one counter, no update lost; a waiter of one process is woken by an unlock in another, and a
 * timed lock against another process's owner times out while the process's own threads run on.
 *
 * PARITY: switches=100 threads=5 kernel_threads=9
 */
#include "thread.h"

#include <sys/mman.h>

enum { threads = 4, rounds = 250 };

struct Shared {
    pthread_mutex_t counter_mutex, step_mutex;
    sem_t step;
    long count;
    int released;
};
static struct Shared* shared;

static void* body(void* arg) {
    for (int round = 0; round < rounds; round++) {
        CHECK(pthread_mutex_lock(&shared->counter_mutex) == 0);
        long seen = shared->count;
        if (round % 8 == 0) sched_yield();
        if (round % 64 == 0) usleep(100);
        shared->count = seen + 1;
        CHECK(pthread_mutex_unlock(&shared->counter_mutex) == 0);
    }
    return arg;
}

static void count_in_this_process(void) {
    pthread_t thread[threads];
    for (int i = 0; i < threads; i++) thread[i] = spawn(body, NULL);
    for (int i = 0; i < threads; i++) finish(thread[i]);
}

static int own_thread_runs;

static void* ticker(void* arg) {
    for (int i = 0; i < 3; i++) {
        nap(5);
        __atomic_add_fetch(&own_thread_runs, 1, __ATOMIC_SEQ_CST);
    }
    return arg;
}

int main(void) {
    shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(shared != MAP_FAILED);
    pthread_mutexattr_t attr;
    int got = -1;
    pthread_mutexattr_init(&attr);
    SHOW(pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED));
    SHOW(pthread_mutexattr_getpshared(&attr, &got));
    SHOW_YES(got == PTHREAD_PROCESS_SHARED);
    SHOW(pthread_mutex_init(&shared->counter_mutex, &attr));
    SHOW(pthread_mutex_init(&shared->step_mutex, &attr));
    sem_init(&shared->step, 1, 0);
    fflush(stdout);

    pid_t child[2];
    for (int i = 0; i < 2; i++) {
        child[i] = fork();
        CHECK(child[i] >= 0);
        if (child[i] == 0) {
            count_in_this_process();
            _exit(0);
        }
    }
    count_in_this_process();
    for (int i = 0; i < 2; i++) CHECK(child_status(child[i]) == 0);
    SHOW_LONG(shared->count);

    child[0] = fork();
    CHECK(child[0] >= 0);
    if (child[0] == 0) {
        CHECK(pthread_mutex_lock(&shared->step_mutex) == 0);
        sem_post(&shared->step);
        while (!__atomic_load_n(&shared->released, __ATOMIC_SEQ_CST)) nap(5);
        nap(50); /* the parent waits in pthread_mutex_lock by now */
        CHECK(pthread_mutex_unlock(&shared->step_mutex) == 0);
        _exit(7);
    }
    while (sem_wait(&shared->step) != 0) CHECK(errno == EINTR);
    pthread_t tick = spawn(ticker, NULL);
    SHOW(pthread_mutex_trylock(&shared->step_mutex));
    struct timespec t = in_ms(CLOCK_REALTIME, 200);
    SHOW(pthread_mutex_timedlock(&shared->step_mutex, &t));
    CHECK(reached(CLOCK_REALTIME, t));
    SHOW_YES(__atomic_load_n(&own_thread_runs, __ATOMIC_SEQ_CST) > 0);
    __atomic_store_n(&shared->released, 1, __ATOMIC_SEQ_CST);
    SHOW(pthread_mutex_lock(&shared->step_mutex));
    SHOW(pthread_mutex_unlock(&shared->step_mutex));
    finish(tick);
    SHOW_LONG(child_status(child[0]));
    return 0;
}
