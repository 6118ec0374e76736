// What handing the CPU from one thread to another costs, by each way a program has to do it, and
// what a thread costs that is made and joined. An ordinary program:
//
//     switch NAME [SECONDS]     prints "NAME <ns per operation>"; without a name, lists them
//     switch NAME xTURNS        TURNS turns between two marks for steps.c; prints the operations
//
// In the ping-pongs two threads take turns, and an operation is one hand-over (half a round trip).
// Run it on one CPU (taskset -c 0): on two, sched_yield hands over nothing and the rest measures
// how long an idle CPU takes to wake up.
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

#include "common.h"

typedef void Body(int me, uint64_t count);

static Body* body;
static uint64_t body_count;

static void* second(void* unused) {
    (void)unused;
    body(1, body_count);
    return NULL;
}

// Time for `count` turns of each of two threads.
static uint64_t two_threads(Body* both, uint64_t count) {
    pthread_t thread;
    body = both;
    body_count = count;
    uint64_t start = now_ns();
    if ((errno = pthread_create(&thread, NULL, second, NULL)) != 0) die("pthread_create");
    both(0, count);
    pthread_join(thread, NULL);
    return now_ns() - start;
}

// sched_yield

static _Atomic int yield_turn;

static void yield_body(int me, uint64_t count) {
    for (uint64_t i = 0; i < count; i++) {
        while (atomic_load_explicit(&yield_turn, memory_order_acquire) != me) sched_yield();
        atomic_store_explicit(&yield_turn, !me, memory_order_release);
    }
}

// mutex and condition variable

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition[2] = {PTHREAD_COND_INITIALIZER, PTHREAD_COND_INITIALIZER};
static int cond_turn;

static void cond_body(int me, uint64_t count) {
    pthread_mutex_lock(&mutex);
    for (uint64_t i = 0; i < count; i++) {
        while (cond_turn != me) pthread_cond_wait(&condition[me], &mutex);
        cond_turn = !me;
        pthread_cond_signal(&condition[!me]);
    }
    pthread_mutex_unlock(&mutex);
}

// semaphores

static sem_t semaphores[2];

static void sem_body(int me, uint64_t count) {
    for (uint64_t i = 0; i < count; i++) {
        while (sem_wait(&semaphores[me]) < 0) continue;
        sem_post(&semaphores[!me]);
    }
}

static uint64_t sem_pair(uint64_t count) {
    sem_init(&semaphores[0], 0, 1);
    sem_init(&semaphores[1], 0, 0);
    return two_threads(sem_body, count);
}

// Descriptors: me reads from in[me] and writes to out[me].

static int in[2], out[2];

static void fd_body(int me, uint64_t count) {
    char byte = 0;
    for (uint64_t i = 0; i < count; i++) {
        if (read(in[me], &byte, 1) != 1) die("read");
        if (write(out[me], &byte, 1) != 1) die("write");
    }
}

static uint64_t fd_pair(uint64_t count) {
    if (write(out[1], "", 1) != 1) die("write");  // the first turn is mine
    uint64_t time = two_threads(fd_body, count);
    char byte;
    if (read(in[0], &byte, 1) != 1) die("read");
    return time;
}

static uint64_t socket_pair(uint64_t count) {
    if (!in[0]) {
        if (socketpair(AF_UNIX, SOCK_STREAM, 0, in) < 0) die("socketpair");
        out[0] = in[0], out[1] = in[1];
    }
    return fd_pair(count);
}

static uint64_t pipe_pair(uint64_t count) {
    if (!in[0]) {
        int forth[2], back[2];
        if (pipe(forth) < 0 || pipe(back) < 0) die("pipe");
        in[0] = back[0], out[1] = back[1];
        in[1] = forth[0], out[0] = forth[1];
    }
    return fd_pair(count);
}

// pthread_create and pthread_join: one at a time, and while 1,000 others live

static uint64_t alone(Body* work, uint64_t count) {
    uint64_t start = now_ns();
    work(0, count);
    return now_ns() - start;
}

static void* nothing(void* unused) { return unused; }

static void create_body(int me, uint64_t count) {
    (void)me;
    for (uint64_t i = 0; i < count; i++) {
        pthread_t thread;
        if ((errno = pthread_create(&thread, NULL, nothing, NULL)) != 0) die("pthread_create");
        pthread_join(thread, NULL);
    }
}

enum { kAlive = 1000 };

static void crowd_body(int me, uint64_t count) {
    (void)me;
    static pthread_t threads[kAlive];
    for (uint64_t i = 0; i < count; i++) {
        for (int j = 0; j < kAlive; j++)
            if ((errno = pthread_create(&threads[j], NULL, nothing, NULL)) != 0)
                die("pthread_create");
        for (int j = 0; j < kAlive; j++) pthread_join(threads[j], NULL);
    }
}

static uint64_t yield_pair(uint64_t count) { return two_threads(yield_body, count); }
static uint64_t cond_pair(uint64_t count) { return two_threads(cond_body, count); }
static uint64_t create_join(uint64_t count) { return alone(create_body, count); }
static uint64_t crowd(uint64_t count) { return alone(crowd_body, count); }

static const struct {
    const char *name, *what;
    uint64_t (*run)(uint64_t count);
    int operations;  // in one turn
} kinds[] = {
    {"yield", "hand-over, sched_yield", yield_pair, 2},
    {"cond", "hand-over, mutex and condition", cond_pair, 2},
    {"sem", "hand-over, semaphores", sem_pair, 2},
    {"socketpair", "hand-over, socketpair", socket_pair, 2},
    {"pipe", "hand-over, pipes", pipe_pair, 2},
    {"create", "create and join, one at a time", create_join, 1},
    {"create-1000", "create 1,000, join 1,000", crowd, kAlive},
};
enum { kKinds = sizeof kinds / sizeof *kinds };

int main(int argc, char** argv) {
    double seconds = argc > 2 ? atof(argv[2]) : 0.3;
    for (int i = 0; i < kKinds; i++) {
        if (argc < 2) {
            printf("%-12s%s\n", kinds[i].name, kinds[i].what);
            continue;
        }
        if (strcmp(argv[1], kinds[i].name) != 0) continue;
        if (argc > 2 && argv[2][0] == 'x') {
            uint64_t turns = strtoull(argv[2] + 1, NULL, 10);
            kinds[i].run(1);  // the first thread is dear: whatever threads need is set up then
            mark();
            kinds[i].run(turns);
            mark();
            printf("%s %lu\n", argv[1], turns * (uint64_t)kinds[i].operations);
            return 0;
        }
        // The count doubles until a run is long enough; only that last run counts.
        uint64_t count = 1, time;
        while ((double)(time = kinds[i].run(count)) < seconds * 1e9) count *= 2;
        printf("%s %.1f\n", argv[1], (double)time / (double)count / kinds[i].operations);
        return 0;
    }
    return argc < 2 ? 0 : 2;
}
