/* A thread that waits is sent a signal, and woken before it has run again: both must arrive. By a
 * condition variable, a futex whose word changes meanwhile, and one whose word stays; the handler
 * has SA_RESTART, so that nothing but the wake-up ends the waits.
 *
 * PARITY: switches=1000 threads=3
 */
#include "thread.h"

#include <linux/futex.h>
#include <signal.h>
#include <sys/syscall.h>

enum { rounds = 500 };
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static uint32_t word;
static long handled, wanted, seen;

static void count(int number) {
    (void)number;
    __atomic_add_fetch(&handled, 1, __ATOMIC_SEQ_CST);
}

static long value_of(long* at) { return __atomic_load_n(at, __ATOMIC_SEQ_CST); }

static void* wait_on_cond(void* unused) {
    CHECK(pthread_mutex_lock(&mutex) == 0);
    for (long i = 1; i <= rounds; i++) {
        while (wanted < i) CHECK(pthread_cond_wait(&cond, &mutex) == 0);
        __atomic_store_n(&seen, i, __ATOMIC_SEQ_CST);
    }
    CHECK(pthread_mutex_unlock(&mutex) == 0);
    return unused;
}

static void* wait_on_word(void* unused) {
    for (uint32_t i = 0; i < rounds; i++) {
        while (__atomic_load_n(&word, __ATOMIC_SEQ_CST) == i) {
            long r = syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, i, NULL, NULL, 0);
            CHECK(r == 0 || (r == -1 && errno == EAGAIN));
        }
        __atomic_store_n(&seen, i + 1, __ATOMIC_SEQ_CST);
    }
    return unused;
}

/* Only a wake-up ends it: the word never changes. */
static void* wait_to_be_woken(void* unused) {
    for (long i = 1; i <= rounds; i++) {
        CHECK(syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, word, NULL, NULL, 0) == 0);
        __atomic_store_n(&seen, i, __ATOMIC_SEQ_CST);
    }
    return unused;
}

static void in_rounds(const char* what, void* (*body)(void*), void (*wake)(void)) {
    pthread_t thread;
    __atomic_store_n(&handled, 0, __ATOMIC_SEQ_CST);
    __atomic_store_n(&seen, 0, __ATOMIC_SEQ_CST);
    CHECK(pthread_create(&thread, NULL, body, NULL) == 0);
    for (long i = 1; i <= rounds; i++) {
        if (i % 16 == 1) usleep(1000); /* it waits by now */
        CHECK(pthread_kill(thread, SIGUSR1) == 0);
        wake();
        while (value_of(&seen) < i) {
            sched_yield();
            if (body == wait_to_be_woken) wake();
        }
    }
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(value_of(&handled) > 0);
    printf("%s: %ld wake-ups\n", what, value_of(&seen));
}

static void wake_cond(void) {
    CHECK(pthread_mutex_lock(&mutex) == 0);
    wanted++;
    CHECK(pthread_mutex_unlock(&mutex) == 0);
    CHECK(pthread_cond_signal(&cond) == 0);
}

static void wake_word(void) {
    __atomic_add_fetch(&word, 1, __ATOMIC_SEQ_CST);
    syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void wake_only(void) { syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0); }

int main(void) {
    struct sigaction action = {.sa_handler = count, .sa_flags = SA_RESTART};
    CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
    in_rounds("condition variable", wait_on_cond, wake_cond);
    in_rounds("futex, changed", wait_on_word, wake_word);
    in_rounds("futex, unchanged", wait_to_be_woken, wake_only);
    return 0;
}
