/* A library for thread_own_futex.c: a team of threads as GNU OpenMP keeps one, which waits by
 * instructions of its own and not by any function of libc. */
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/syscall.h>

enum { MEMBERS = 4 };

static int arrived, generation, held;
static void (*work)(int member);
static pthread_t team[MEMBERS];
static int numbers[MEMBERS];

__attribute__((always_inline)) static inline void futex(int* word, int operation, int value) {
    long result;
    register long no_timeout __asm__("r10") = 0;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "0"(SYS_futex), "D"(word), "S"(operation), "d"(value), "r"(no_timeout)
                     : "rcx", "r11", "memory");
    (void)result;
}

static void barrier(void) {
    int before = __atomic_load_n(&generation, __ATOMIC_ACQUIRE);
    if (__atomic_add_fetch(&arrived, 1, __ATOMIC_ACQ_REL) == MEMBERS + 1) {
        arrived = 0;
        __atomic_add_fetch(&generation, 1, __ATOMIC_RELEASE);
        futex(&generation, FUTEX_WAKE_PRIVATE, INT_MAX);
        return;
    }
    while (__atomic_load_n(&generation, __ATOMIC_ACQUIRE) == before) {
        futex(&generation, FUTEX_WAIT_PRIVATE, before);
    }
}

void own_futex_lock(void);
void own_futex_lock(void) {
    while (__atomic_exchange_n(&held, 1, __ATOMIC_ACQUIRE) != 0) {
        futex(&held, FUTEX_WAIT_PRIVATE, 1);
    }
}

void own_futex_unlock(void);
void own_futex_unlock(void) {
    __atomic_store_n(&held, 0, __ATOMIC_RELEASE);
    futex(&held, FUTEX_WAKE_PRIVATE, 1);
}

static void* member(void* argument) {
    const int* which = argument;
    for (;;) {
        barrier();
        if (work == NULL) return NULL;
        work(*which);
        barrier();
    }
}

/* Every member works once, while the caller waits for all of them. NULL ends the team. */
void own_futex_run(void (*what)(int));
void own_futex_run(void (*what)(int)) {
    static int started;
    for (; started < MEMBERS; started++) {
        numbers[started] = started;
        if (pthread_create(&team[started], NULL, member, &numbers[started]) != 0) return;
    }
    work = what;
    barrier();
    if (what != NULL) {
        barrier();
        return;
    }
    for (int i = 0; i < MEMBERS; i++) pthread_join(team[i], NULL);
}
