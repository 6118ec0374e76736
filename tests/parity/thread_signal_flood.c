/* Queued signals are neither lost nor run late, however many there are: a thousand sent to oneself
 * are handled before sigqueue returns; a thousand that another process sends while the only thread
 * that takes them computes are all handled; a thousand lie in a thread that blocks them, beside one
 * in each of five hundred others, and come in order when they are let in.
 *
 * PARITY: threads=500
 */
#include "thread.h"

#include <signal.h>

enum { many = 1000, threads = 500 };
static __thread volatile int handled, last_value, in_order = 1;
static pthread_barrier_t blocked, sent;

static void handler(int number, siginfo_t* info, void* context) {
    (void)number, (void)context;
    handled++;
    if (info->si_value.sival_int != last_value + 1) in_order = 0;
    last_value = info->si_value.sival_int;
}

static void start_over(void) {
    handled = last_value = 0;
    in_order = 1;
}

static sigset_t only_this_one(void) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN);
    return set;
}

static void let_in(void) {
    sigset_t set = only_this_one();
    CHECK(pthread_sigmask(SIG_UNBLOCK, &set, NULL) == 0);
}

static void* blocks(void* count) {
    pthread_barrier_wait(&blocked);
    pthread_barrier_wait(&sent);
    let_in();
    CHECK(handled == (int)(long)count && last_value == handled && in_order);
    return NULL;
}

static void to_oneself(void) {
    start_over();
    for (int i = 1; i <= many; i++) {
        CHECK(sigqueue(getpid(), SIGRTMIN, (union sigval){i}) == 0);
        CHECK(handled == i);
    }
    printf("to oneself: %d, in order: %d\n", handled, in_order);
}

/* The digits of a number, again and again: neither the program's own code nor a wait. */
static void from_another_process(void) {
    start_over();
    pid_t parent = getpid(), child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        for (int i = 1; i <= many; i++) {
            while (sigqueue(parent, SIGRTMIN, (union sigval){i}) != 0) CHECK(errno == EAGAIN);
        }
        _exit(0);
    }
    char text[5000];
    while (last_value != many) {
        for (int i = 0; i < 20; i++) snprintf(text, sizeof text, "%.4000f", 1 / 3.0);
        sched_yield();
    }
    CHECK(child_status(child) == 0);
    printf("from another process: %d, in order: %d\n", handled, in_order);
}

static void to_threads(void) {
    sigset_t set = only_this_one();
    pthread_t thread[threads];
    start_over();
    CHECK(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
    pthread_barrier_init(&blocked, NULL, threads + 1);
    pthread_barrier_init(&sent, NULL, threads + 1);
    for (long i = 0; i < threads; i++) thread[i] = spawn(blocks, (void*)(i == 0 ? (long)many : 1));
    pthread_barrier_wait(&blocked);
    for (int t = 0; t < threads; t++)
        for (int i = 1; i <= (t == 0 ? many : 1); i++)
            CHECK(pthread_sigqueue(thread[t], SIGRTMIN, (union sigval){i}) == 0);
    CHECK(handled == 0);
    pthread_barrier_wait(&sent);
    for (int i = 0; i < threads; i++) finish(thread[i]);
    printf("to threads: in order\n");
}

static void* nothing(void* argument) { return argument; }

int main(void) {
    struct sigaction action = {.sa_flags = SA_SIGINFO | SA_RESTART};
    action.sa_sigaction = handler;
    sigemptyset(&action.sa_mask);
    CHECK(sigaction(SIGRTMIN, &action, NULL) == 0);
    finish(spawn(nothing, NULL));
    to_oneself();
    from_another_process();
    to_threads();
    return 0;
}
