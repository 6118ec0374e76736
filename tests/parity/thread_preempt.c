/* Threads that never give way: one spins on a flag that another sets, one asks the clock, one tries
 * a lock without pause, two compute while a third sleeps by short naps and must get its turns.
 *
 * PARITY: switches=20 threads=9 timeout=20
 */
#include "thread.h"

static volatile int flag;
static volatile unsigned long sink;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static sem_t locked;

static void* spin_on_flag(void* arg) {
    while (!flag) {
    }
    return arg;
}

static void* spin_on_atomic(void* arg) {
    while (!__atomic_load_n(&flag, __ATOMIC_ACQUIRE)) __builtin_ia32_pause();
    return arg;
}

static void* ask_the_clock(void* arg) {
    struct timespec now;
    while (!flag) clock_gettime(CLOCK_MONOTONIC, &now);
    return arg;
}

static void* try_the_lock(void* arg) {
    while (pthread_mutex_trylock(&mutex) != 0) {
    }
    pthread_mutex_unlock(&mutex);
    return arg;
}

static void* set_the_flag(void* arg) {
    pthread_mutex_lock(&mutex);
    sem_post(&locked);
    nap(50);
    flag = 1;
    pthread_mutex_unlock(&mutex);
    return arg;
}

static volatile int stop;

static void* compute(void* arg) {
    unsigned long x = 1;
    while (!stop)
        for (int i = 0; i < 1000; i++) x = x * 6364136223846793005UL + 1;
    sink = x;
    return arg;
}

static void* naps(void* arg) {
    for (int i = 0; i < 10; i++) nap(5);
    stop = 1;
    return arg;
}

int main(void) {
    sem_init(&locked, 0, 0);
    pthread_t setter = spawn(set_the_flag, NULL);
    sem_wait(&locked);
    pthread_t spinner[] = {spawn(spin_on_flag, NULL), spawn(spin_on_atomic, NULL),
                           spawn(ask_the_clock, NULL), spawn(try_the_lock, NULL)};
    for (int i = 0; i < 4; i++) finish(spinner[i]);
    finish(setter);
    puts("the spinners saw the flag");
    pthread_t computing[] = {spawn(compute, NULL), spawn(compute, NULL), spawn(compute, NULL)};
    finish(spawn(naps, NULL));
    for (int i = 0; i < 3; i++) finish(computing[i]);
    puts("the sleeper had its turns");
    return 0;
}
