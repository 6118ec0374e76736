/* Robust mutexes: the owner ends while holding one; the next to lock it is told EOWNERDEAD and
 * makes it consistent or gives it up for ever. The owner is a thread that ended before or during
 * the wait, a child process killed, and a thread of a child process.
 *
 * PARITY: switches=10 threads=6 kernel_threads=9
 */
#include "thread.h"

#include <signal.h>
#include <sys/mman.h>

static pthread_mutex_t* mutex;
static sem_t* step;

static void make_of_type(int shared, int type) {
    pthread_mutexattr_t attr;
    int robust = -1;
    pthread_mutexattr_init(&attr);
    CHECK(pthread_mutexattr_settype(&attr, type) == 0);
    CHECK(pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST) == 0);
    CHECK(pthread_mutexattr_getrobust(&attr, &robust) == 0 && robust == PTHREAD_MUTEX_ROBUST);
    CHECK(pthread_mutexattr_setpshared(&attr, shared) == 0);
    CHECK(pthread_mutex_init(mutex, &attr) == 0);
}

static void make(int shared) { make_of_type(shared, PTHREAD_MUTEX_DEFAULT); }

static void* lock_and_end(void* arg) {
    CHECK(pthread_mutex_lock(mutex) == 0);
    sem_post(step);
    nap((long)arg);
    return NULL;
}

static void* lock_here(void* arg) {
    (void)arg;
    int error = pthread_mutex_lock(mutex);
    if (error == EOWNERDEAD) pthread_mutex_consistent(mutex);
    if (error == 0 || error == EOWNERDEAD) pthread_mutex_unlock(mutex);
    return (void*)(long)error;
}

static void in_one_process(void) {
    make(PTHREAD_PROCESS_PRIVATE);
    puts("--- the owner has ended");
    finish(spawn(lock_and_end, (void*)0L));
    SHOW(pthread_mutex_lock(mutex));
    SHOW(pthread_mutex_consistent(mutex));
    SHOW(pthread_mutex_unlock(mutex));
    SHOW(pthread_mutex_trylock(mutex));
    SHOW(pthread_mutex_consistent(mutex)); /* nothing to make consistent */
    SHOW(pthread_mutex_unlock(mutex));

    puts("--- trylock finds out");
    finish(spawn(lock_and_end, (void*)0L));
    SHOW(pthread_mutex_trylock(mutex));
    SHOW(pthread_mutex_consistent(mutex));
    SHOW(pthread_mutex_unlock(mutex));

    puts("--- the owner ends while two wait");
    pthread_t owner = spawn(lock_and_end, (void*)50L);
    CHECK(sem_wait(step) == 0 && sem_wait(step) == 0 && sem_wait(step) == 0);
    pthread_t one = spawn(lock_here, NULL), two = spawn(lock_here, NULL);
    long a = (long)finish(one), b = (long)finish(two);
    finish(owner);
    printf("%s and %s\n", result_name(a > b ? a : b), result_name(a > b ? b : a));

    puts("--- given up");
    finish(spawn(lock_and_end, (void*)0L));
    struct timespec t = in_ms(CLOCK_REALTIME, 1000);
    SHOW(pthread_mutex_timedlock(mutex, &t));
    SHOW(pthread_mutex_unlock(mutex)); /* without making it consistent */
    SHOW(pthread_mutex_lock(mutex));
    SHOW(pthread_mutex_trylock(mutex));
    SHOW(pthread_mutex_consistent(mutex));
    SHOW(pthread_mutex_destroy(mutex));
}

static void* try_here(void* arg) {
    (void)arg;
    SHOW(pthread_mutex_trylock(mutex));
    SHOW(pthread_mutex_unlock(mutex));
    return NULL;
}

static void* lock_twice(void* arg) {
    SHOW(pthread_mutex_lock(mutex));
    SHOW(pthread_mutex_lock(mutex));
    SHOW(pthread_mutex_unlock(mutex));
    finish(spawn(try_here, NULL));
    SHOW(pthread_mutex_unlock(mutex));
    SHOW(pthread_mutex_unlock(mutex));
    return arg;
}

static void of_every_type(void) {
    const int types[] = {PTHREAD_MUTEX_RECURSIVE, PTHREAD_MUTEX_ERRORCHECK};
    for (int i = 0; i < 2; i++) {
        puts(i == 0 ? "--- recursive" : "--- checked");
        make_of_type(PTHREAD_PROCESS_PRIVATE, types[i]);
        finish(spawn(lock_twice, NULL));
        SHOW(pthread_mutex_lock(mutex));
        SHOW(pthread_mutex_unlock(mutex));
        SHOW(pthread_mutex_destroy(mutex));
    }
}

static void across_processes(int by_thread) {
    make(PTHREAD_PROCESS_SHARED);
    sem_init(step, 1, 0);
    fflush(stdout);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        if (by_thread) {
            finish(spawn(lock_and_end, (void*)50L));
            nap(100000);
        }
        CHECK(pthread_mutex_lock(mutex) == 0);
        sem_post(step);
        nap(100000);
        _exit(0);
    }
    while (sem_wait(step) != 0) CHECK(errno == EINTR);
    if (!by_thread) {
        SHOW(pthread_mutex_trylock(mutex));
        CHECK(kill(child, SIGKILL) == 0);
    }
    SHOW(pthread_mutex_lock(mutex));
    SHOW(pthread_mutex_consistent(mutex));
    SHOW(pthread_mutex_unlock(mutex));
    if (by_thread) CHECK(kill(child, SIGKILL) == 0);
    SHOW_LONG(child_status(child));
    SHOW(pthread_mutex_lock(mutex));
    SHOW(pthread_mutex_unlock(mutex));
}

static void* lock_and_stay(void* arg) {
    SHOW(pthread_mutex_lock(mutex));
    SHOW(pthread_mutex_trylock(mutex));
    fflush(stdout);
    sem_post(step);
    nap(100000);
    return arg;
}

static void* try_and_end(void* arg) {
    SHOW(pthread_mutex_trylock(mutex));
    SHOW(pthread_mutex_unlock(mutex));
    fflush(stdout);
    return arg;
}

/* The owner is a thread that lives when its process ends: killed, by itself, by an exec. */
static void with_its_process(int way) {
    make(PTHREAD_PROCESS_SHARED);
    sem_init(step, 1, 0);
    fflush(stdout);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        spawn(lock_and_stay, NULL);
        while (sem_wait(step) != 0) CHECK(errno == EINTR);
        finish(spawn(try_and_end, NULL));
        if (way == 0) kill(getpid(), SIGKILL);
        if (way == 1) _exit(1);
        execl("/bin/sh", "sh", "-c", "exit 2", NULL);
    }
    printf("%d\n", child_status(child));
    SHOW(pthread_mutex_lock(mutex));
    SHOW(pthread_mutex_consistent(mutex));
    SHOW(pthread_mutex_unlock(mutex));
}

int main(void) {
    char* memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(memory != MAP_FAILED);
    mutex = (pthread_mutex_t*)memory;
    step = (sem_t*)(memory + 1024);
    sem_init(step, 1, 0);
    in_one_process();
    of_every_type();
    puts("--- a child process, killed");
    across_processes(0);
    puts("--- a thread of a child process");
    across_processes(1);
    puts("--- a thread that dies with its process");
    for (int way = 0; way < 3; way++) with_its_process(way);
    return 0;
}
