/* main returns while threads wait in every kind of call: the process ends at once with main's
 * status, no thread is waited for, and no TSD destructor runs.
 *
 * PARITY: switches=6 threads=6 status=5
 */
#include "thread.h"

static sem_t ready, never;
static pthread_t main_thread;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t other_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static int pipe_fds[2];
static pthread_key_t key;

static void key_destructor(void* value) {
    (void)value;
    puts("a TSD destructor ran");
}

static void at_exit(void) { puts("atexit handler"); }

static void* waits(void* arg) {
    char byte;
    pthread_setspecific(key, "value");
    sem_post(&ready);
    switch ((long)arg) {
        case 0:
            sleep(1000);
            break;
        case 1:
            sem_wait(&never);
            break;
        case 2:
            pthread_mutex_lock(&mutex);
            break;
        case 3:
            CHECK(read(pipe_fds[0], &byte, 1) == 1);
            break;
        case 4:
            pthread_join(main_thread, NULL);
            break;
        case 5:
            pthread_mutex_lock(&other_mutex);
            pthread_cond_wait(&cond, &other_mutex);
            break;
    }
    puts("a thread went on");
    return NULL;
}

int main(void) {
    main_thread = pthread_self();
    sem_init(&ready, 0, 0);
    sem_init(&never, 0, 0);
    CHECK(pipe(pipe_fds) == 0);
    pthread_key_create(&key, key_destructor);
    atexit(at_exit);
    pthread_mutex_lock(&mutex);
    for (long i = 0; i < 6; i++) spawn(waits, (void*)i);
    for (long i = 0; i < 6; i++) sem_wait(&ready);
    nap(20);
    puts("main returns 5");
    return 5;
}
