/* Barriers and spin locks. Barrier: in every round exactly one thread is told to be the serial one,
 * and nobody is ahead of the others. Spin lock: its holder goes to sleep, the others spin in vain,
 * and trylock says EBUSY; with all threads on one processor this is the hard case.
 *
 * PARITY: switches=2000 threads=60
 */
#include "thread.h"

enum { threads = 50, rounds = 50 };
static pthread_barrier_t barrier;
static int serial[rounds], at[rounds];

static void* go_round(void* arg) {
    for (int round = 0; round < rounds; round++) {
        __atomic_add_fetch(&at[round], 1, __ATOMIC_SEQ_CST);
        int result = pthread_barrier_wait(&barrier);
        CHECK(result == 0 || result == PTHREAD_BARRIER_SERIAL_THREAD);
        if (result != 0) __atomic_add_fetch(&serial[round], 1, __ATOMIC_SEQ_CST);
        CHECK(__atomic_load_n(&at[round], __ATOMIC_SEQ_CST) == threads);
    }
    return arg;
}

static pthread_spinlock_t spin;
static long spun, inside;

static void* use_spin_lock(void* arg) {
    for (int i = 0; i < 5; i++) {
        CHECK(pthread_spin_lock(&spin) == 0);
        CHECK(inside++ == 0);
        spun++;
        usleep(500); /* asleep with the lock held */
        inside--;
        CHECK(pthread_spin_unlock(&spin) == 0);
        sched_yield();
    }
    return arg;
}

static void* try_spin_lock(void* arg) {
    (void)arg;
    int error = pthread_spin_trylock(&spin);
    if (error == 0) pthread_spin_unlock(&spin);
    return (void*)(long)error;
}

int main(void) {
    pthread_t thread[threads];
    pthread_barrier_t early; /* used before there is a thread, and after */
    SHOW(pthread_barrier_init(&early, NULL, 1));
    SHOW_YES(pthread_barrier_wait(&early) == PTHREAD_BARRIER_SERIAL_THREAD);
    SHOW(pthread_barrier_init(&barrier, NULL, 0));
    SHOW(pthread_barrier_init(&barrier, NULL, threads));
    for (int i = 0; i < threads; i++) thread[i] = spawn(go_round, NULL);
    for (int i = 0; i < threads; i++) finish(thread[i]);
    int once = 0;
    for (int round = 0; round < rounds; round++) once += serial[round] == 1;
    printf("rounds with exactly one serial thread: %d\n", once);
    SHOW(pthread_barrier_destroy(&barrier));
    SHOW_YES(pthread_barrier_wait(&early) == PTHREAD_BARRIER_SERIAL_THREAD);
    SHOW(pthread_barrier_destroy(&early));

    SHOW(pthread_barrier_init(&barrier, NULL, 1)); /* nobody to wait for */
    SHOW_YES(pthread_barrier_wait(&barrier) == PTHREAD_BARRIER_SERIAL_THREAD);
    SHOW_YES(pthread_barrier_wait(&barrier) == PTHREAD_BARRIER_SERIAL_THREAD);

    SHOW(pthread_spin_init(&spin, PTHREAD_PROCESS_PRIVATE));
    SHOW(pthread_spin_lock(&spin));
    SHOW(pthread_spin_trylock(&spin));
    printf("another: %s\n", result_name((long)finish(spawn(try_spin_lock, NULL))));
    SHOW(pthread_spin_unlock(&spin));
    printf("another: %s\n", result_name((long)finish(spawn(try_spin_lock, NULL))));
    for (int i = 0; i < 8; i++) thread[i] = spawn(use_spin_lock, NULL);
    for (int i = 0; i < 8; i++) finish(thread[i]);
    SHOW_LONG(spun);
    SHOW(pthread_spin_destroy(&spin));
    return 0;
}
