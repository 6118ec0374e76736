/* A thread computes within libc for longer than a slice and then waits; it is cancelled by another
 * one that runs for the first time when the wait is about to begin.
 *
 * PARITY: threads=8 */
#include "parity.h"

#include <semaphore.h>
#include <sys/mman.h>

#define SIZE ((size_t)128 << 20) /* of zeros that are not there: a tenth of a second */

static const char* zeros;
static int ends[2], pair[2];
static sem_t semaphore;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static volatile int begun;

static void wait_once(int what) {
    char byte;
    struct pollfd p = {ends[0], POLLIN, 0};
    struct timespec long_time = {1000, 0};
    switch (what) {
        case 0:
            pause();
            break;
        case 1:
            poll(&p, 1, -1);
            break;
        case 2:
            nanosleep(&long_time, NULL);
            break;
        case 3:
            sem_wait(&semaphore);
            break;
        case 4:
            pthread_cond_wait(&condition, &mutex);
            break;
        case 5:
            SAME(read(ends[0], &byte, 1), 1);
            break;
        case 6:
            SAME(recv(pair[0], &byte, 1, 0), 1);
            break;
        case 7:
            select(0, NULL, NULL, NULL, NULL);
            break;
    }
}

static void unlock(void* unused) {
    (void)unused;
    pthread_mutex_unlock(&mutex);
}

static void* compute_and_wait(void* what) {
    pthread_mutex_lock(&mutex);
    pthread_cleanup_push(unlock, NULL);
    begun = 1;
    CHECK(memchr(zeros, 1, SIZE) == NULL);
    for (;;) wait_once((int)(intptr_t)what);
    pthread_cleanup_pop(1);
    return NULL;
}

int main(void) {
    zeros = mmap(NULL, SIZE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(zeros != MAP_FAILED);
    SAME(pipe(ends), 0);
    SAME(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    SAME(sem_init(&semaphore, 0, 0), 0);
    for (int what = 0; what < 8; ++what) {
        pthread_t thread;
        void* result;
        begun = 0;
        SAME(pthread_create(&thread, NULL, compute_and_wait, (void*)(intptr_t)what), 0);
        while (!begun) usleep(1000);
        SAME(pthread_cancel(thread), 0);
        SAME(pthread_join(thread, &result), 0);
        CHECK(result == PTHREAD_CANCELED);
        say("wait %d: cancelled", what);
    }
    return 0;
}
