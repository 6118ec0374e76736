/* Semaphores between processes: unnamed in shared memory with a forked child, and named ones by
 * sem_open, which parent and child open by name; a wait for the other process leaves the own
 * threads running.
 *
 * PARITY: switches=20 threads=1 kernel_threads=9
 */
#include "thread.h"

#include <fcntl.h>
#include <sys/mman.h>

static int stop;
static long ticks;

static void* ticker(void* arg) {
    while (!__atomic_load_n(&stop, __ATOMIC_SEQ_CST)) {
        nap(2);
        __atomic_add_fetch(&ticks, 1, __ATOMIC_SEQ_CST);
    }
    return arg;
}

static void ping_pong(sem_t* mine, sem_t* theirs, int rounds) {
    for (int i = 0; i < rounds; i++) {
        while (sem_wait(mine) != 0) CHECK(errno == EINTR);
        CHECK(sem_post(theirs) == 0);
    }
}

static void unnamed(void) {
    sem_t* semaphore = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(semaphore != MAP_FAILED);
    SHOW(sem_init(&semaphore[0], 1, 0));
    SHOW(sem_init(&semaphore[1], 1, 0));
    fflush(stdout);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        nap(100); /* the parent waits all this time, and its ticker runs */
        CHECK(sem_post(&semaphore[0]) == 0);
        ping_pong(&semaphore[1], &semaphore[0], 200);
        _exit(4);
    }
    long before = __atomic_load_n(&ticks, __ATOMIC_SEQ_CST);
    ping_pong(&semaphore[0], &semaphore[1], 200);
    SHOW_YES(__atomic_load_n(&ticks, __ATOMIC_SEQ_CST) - before >= 5);
    SHOW(sem_wait(&semaphore[0]));
    struct timespec t = in_ms(CLOCK_REALTIME, 30);
    SHOW(sem_timedwait(&semaphore[0], &t));
    CHECK(reached(CLOCK_REALTIME, t));
    SHOW(sem_trywait(&semaphore[0]));
    SHOW_LONG(child_status(child));
}

static void named(void) {
    char name[40];
    snprintf(name, sizeof name, "/parity-%d", (int)getpid());
    SHOW_YES(sem_open(name, 0) == SEM_FAILED && errno == ENOENT);
    sem_t* semaphore = sem_open(name, O_CREAT | O_EXCL, 0600, 0);
    CHECK(semaphore != SEM_FAILED);
    SHOW_YES(sem_open(name, O_CREAT | O_EXCL, 0600, 0) == SEM_FAILED && errno == EEXIST);
    SHOW_YES(sem_open(name, 0) == semaphore); /* one address per process */
    SHOW(sem_close(semaphore));
    fflush(stdout);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        sem_t* again = sem_open(name, 0);
        CHECK(again != SEM_FAILED);
        nap(50);
        for (int i = 0; i < 3; i++) CHECK(sem_post(again) == 0);
        CHECK(sem_close(again) == 0);
        _exit(5);
    }
    for (int i = 0; i < 3; i++) SHOW(sem_wait(semaphore));
    SHOW(sem_trywait(semaphore));
    SHOW_LONG(child_status(child));
    SHOW(sem_unlink(name));
    SHOW(sem_unlink(name));
    SHOW(sem_close(semaphore));
}

int main(void) {
    pthread_t tick = spawn(ticker, NULL);
    unnamed();
    named();
    __atomic_store_n(&stop, 1, __ATOMIC_SEQ_CST);
    finish(tick);
    return 0;
}
