/* Polite busy waits: loops that ask again and again and give way in between by sched_yield,
 * usleep(0), poll of nothing, nanosleep(0), select with no time, thrd_yield, or by a trylock or a
 * trywait that fails and a yield. The event is made by a thread that is created last and naps
 * first.
 *
 * PARITY: switches=60 threads=9
 */
#include "thread.h"

#include <poll.h>
#include <sys/select.h>
#include <threads.h>

static int event;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static sem_t semaphore;
static pthread_t target;

static int happened(void) { return __atomic_load_n(&event, __ATOMIC_SEQ_CST); }

static void* waits(void* arg) {
    struct timeval none = {0, 0};
    switch ((long)arg) {
        case 0:
            while (!happened()) sched_yield();
            break;
        case 1:
            while (!happened()) usleep(0);
            break;
        case 2:
            while (!happened()) poll(NULL, 0, 0);
            break;
        case 3:
            while (!happened()) nanosleep(&(struct timespec){0, 0}, NULL);
            break;
        case 4:
            while (!happened()) select(0, NULL, NULL, NULL, &none);
            break;
        case 5:
            while (!happened()) thrd_yield();
            break;
        case 6:
            while (pthread_mutex_trylock(&mutex) != 0) sched_yield();
            break;
        case 7:
            while (sem_trywait(&semaphore) != 0) sched_yield();
            break;
    }
    CHECK(happened());
    if ((long)arg == 6) pthread_mutex_unlock(&mutex);
    return NULL;
}

static void* make_it_happen(void* arg) {
    pthread_mutex_lock(&mutex);
    sem_post(arg);
    nap(50);
    __atomic_store_n(&event, 1, __ATOMIC_SEQ_CST);
    pthread_mutex_unlock(&mutex);
    sem_post(&semaphore);
    return NULL;
}

int main(void) {
    sem_t locked;
    sem_init(&locked, 0, 0);
    sem_init(&semaphore, 0, 0);
    pthread_t thread[8];
    target = spawn(make_it_happen, &locked);
    sem_wait(&locked);
    for (long i = 0; i < 8; i++) thread[i] = spawn(waits, (void*)i);
    for (int i = 0; i < 8; i++) finish(thread[i]);
    while (pthread_tryjoin_np(target, NULL) != 0) sched_yield();
    puts("nobody waited in vain");
    return 0;
}
