/* Some threads wait until the same time. The first whose wait is over sends all others a signal:
 * one whose time has passed too, and who has not gone on yet, goes on in the handler. The same with
 * one who has given way.
 *
 * PARITY: switches=20 threads=4
 */
#include "thread.h"

#include <limits.h>
#include <linux/futex.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>

enum { waiters = 4 };

static pthread_t threads[waiters];
static pthread_barrier_t all;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
static sem_t semaphore;
static struct timespec until;
static int word, pair[2], first, sent;
static __thread volatile int handled;

static void on_signal(int signal) {
    (void)signal;
    handled = 1;
}

/* Natively the one who is told on another CPU may take its next steps first. */
static void a_moment(void) {
    struct timespec end = in_ms(CLOCK_MONOTONIC, 1);
    while (!reached(CLOCK_MONOTONIC, end)) continue;
}

static void tell_others(void) {
    for (int i = 0; i < waiters; ++i) {
        if (!pthread_equal(threads[i], pthread_self()))
            CHECK(pthread_kill(threads[i], SIGUSR1) == 0);
    }
    __atomic_store_n(&sent, 1, __ATOMIC_SEQ_CST);
}

static void by_sleep(void) { clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL); }
static void by_mutex(void) { pthread_mutex_clocklock(&mutex, CLOCK_MONOTONIC, &until); }
static void by_lock(void) { pthread_rwlock_clockrdlock(&lock, CLOCK_MONOTONIC, &until); }
static void by_semaphore(void) { sem_clockwait(&semaphore, CLOCK_MONOTONIC, &until); }
static void by_futex(void) {
    int operation = FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG;
    syscall(SYS_futex, &word, operation, 0, &until, NULL, FUTEX_BITSET_MATCH_ANY);
}
static void by_signal(void) {
    static const struct timespec a_while = {0, 50000000};
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    sigtimedwait(&set, NULL, &a_while);
}
static void by_socket(void) {
    char byte;
    recv(pair[0], &byte, 1, 0);
}
static void by_yield(void) {
    while (!reached(CLOCK_MONOTONIC, until) && !__atomic_load_n(&sent, __ATOMIC_SEQ_CST)) {
        sched_yield();
    }
}

static const struct {
    const char* name;
    void (*wait)(void);
} waits[] = {
    {"clock_nanosleep", by_sleep},
    {"pthread_mutex_clocklock", by_mutex},
    {"pthread_rwlock_clockrdlock", by_lock},
    {"sem_clockwait", by_semaphore},
    {"futex", by_futex},
    {"sigtimedwait", by_signal},
    {"recv", by_socket},
    {"sched_yield", by_yield},
};

static void* body(void* arg) {
    for (size_t i = 0; i < sizeof waits / sizeof *waits; ++i) {
        pthread_barrier_wait(&all); /* until all have a time */
        waits[i].wait();
        if (__atomic_exchange_n(&first, 1, __ATOMIC_SEQ_CST) == 0) {
            tell_others();
        } else if (__atomic_load_n(&sent, __ATOMIC_SEQ_CST)) {
            a_moment();
            CHECK(handled);
        }
        pthread_barrier_wait(&all);
        handled = 0;
    }
    return arg;
}

int main(void) {
    struct timeval a_while = {0, 50000};
    struct sigaction action = {.sa_handler = on_signal};
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    CHECK(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
    CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    CHECK(setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &a_while, sizeof a_while) == 0);
    CHECK(sem_init(&semaphore, 0, 0) == 0);
    CHECK(pthread_barrier_init(&all, NULL, waiters + 1) == 0);
    CHECK(pthread_mutex_lock(&mutex) == 0);
    CHECK(pthread_rwlock_wrlock(&lock) == 0);
    for (int i = 0; i < waiters; ++i) threads[i] = spawn(body, NULL);
    for (size_t i = 0; i < sizeof waits / sizeof *waits; ++i) {
        first = sent = 0;
        until = in_ms(CLOCK_MONOTONIC, 50);
        pthread_barrier_wait(&all);
        pthread_barrier_wait(&all);
        printf("%s: handled\n", waits[i].name);
    }
    for (int i = 0; i < waiters; ++i) finish(threads[i]);
    return 0;
}
