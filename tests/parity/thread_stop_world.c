/* What a garbage collector does: stop all other threads by a signal whose handler reports and waits
 * in sigsuspend, look through the stack of each between its stack pointer and the bound that
 * pthread_getattr_np reported, and let them go on by a second signal. Every thread keeps a mark in
 * a local variable only; the marks must all be found, whether a thread computes, waits or sleeps.
 *
 * PARITY: switches=100 threads=12 timeout=20
 */
#include "thread.h"

#include <signal.h>

enum { threads = 12, rounds = 5 };

struct Mutator {
    pthread_t thread;
    char* high;
    char* volatile stopped_at;
    volatile int stopped;
    volatile long work;
};
static struct Mutator mutators[threads];
static __thread struct Mutator* self;
static sem_t acknowledged, never;
static volatile int stop_requested, finished;
static int pipe_fds[2];

static void on_stop(int number) {
    (void)number;
    int before = errno;
    sigset_t all_but_go_on;
    sigfillset(&all_but_go_on);
    sigdelset(&all_but_go_on, SIGUSR2);
    self->stopped_at = __builtin_frame_address(0);
    self->stopped = 1;
    sem_post(&acknowledged);
    while (stop_requested) sigsuspend(&all_but_go_on);
    self->stopped = 0;
    sem_post(&acknowledged);
    errno = before;
}

static void on_go_on(int number) { (void)number; }

static uintptr_t mark_of(long i) { return (uintptr_t)0x5ca1ab1e00000000u + (uintptr_t)i * 8; }

static void* __attribute__((noinline)) mutate(void* arg) {
    long i = (long)arg;
    volatile uintptr_t mark = mark_of(i); /* on this stack and nowhere else */
    char byte;
    pthread_attr_t attr;
    void* low = NULL;
    size_t size = 0;
    self = &mutators[i];
    CHECK(pthread_getattr_np(pthread_self(), &attr) == 0);
    CHECK(pthread_attr_getstack(&attr, &low, &size) == 0);
    pthread_attr_destroy(&attr);
    self->high = (char*)low + size;
    sem_post(&acknowledged);
    while (!finished) {
        switch (i % 4) {
            case 0: /* computes, and gives way now and then */
                for (int k = 0; k < 1000; k++) self->work++;
                sched_yield();
                break;
            case 1:
                sem_wait(&never);
                break;
            case 2:
                if (read(pipe_fds[0], &byte, 1) < 0) CHECK(errno == EINTR);
                break;
            default:
                usleep(1000);
        }
    }
    CHECK(mark == mark_of(i));
    return NULL;
}

static int find(const struct Mutator* m, uintptr_t mark) {
    for (uintptr_t* at = (uintptr_t*)((uintptr_t)m->stopped_at & ~(uintptr_t)7);
         (char*)(at + 1) <= m->high; at++)
        if (*at == mark) return 1;
    return 0;
}

int main(void) {
    struct sigaction stop = {.sa_handler = on_stop, .sa_flags = SA_RESTART};
    struct sigaction go_on = {.sa_handler = on_go_on, .sa_flags = SA_RESTART};
    sigfillset(&stop.sa_mask);
    sigemptyset(&go_on.sa_mask);
    CHECK(sigaction(SIGUSR1, &stop, NULL) == 0 && sigaction(SIGUSR2, &go_on, NULL) == 0);
    CHECK(pipe(pipe_fds) == 0);
    sem_init(&acknowledged, 0, 0);
    sem_init(&never, 0, 0);
    for (long i = 0; i < threads; i++) mutators[i].thread = spawn(mutate, (void*)i);
    for (int i = 0; i < threads; i++) sem_wait(&acknowledged);

    for (int round = 0; round < rounds; round++) {
        nap(5);
        long found = 0, unmoved = 0, work[threads];
        stop_requested = 1;
        for (int i = 0; i < threads; i++) CHECK(pthread_kill(mutators[i].thread, SIGUSR1) == 0);
        for (int i = 0; i < threads; i++) CHECK(sem_wait(&acknowledged) == 0);
        for (int i = 0; i < threads; i++) {
            CHECK(mutators[i].stopped);
            found += find(&mutators[i], mark_of(i));
            work[i] = mutators[i].work;
        }
        nap(5);
        for (int i = 0; i < threads; i++) unmoved += work[i] == mutators[i].work;
        stop_requested = 0;
        for (int i = 0; i < threads; i++) CHECK(pthread_kill(mutators[i].thread, SIGUSR2) == 0);
        for (int i = 0; i < threads; i++) CHECK(sem_wait(&acknowledged) == 0);
        printf("round %d: %ld marks found, %ld stood still\n", round, found, unmoved);
    }
    finished = 1;
    for (int i = 0; i < threads; i++) {
        sem_post(&never);
        CHECK(write(pipe_fds[1], "x", 1) == 1);
    }
    for (int i = 0; i < threads; i++) finish(mutators[i].thread);
    return 0;
}
