/* Code that a program makes itself may use the stack pointer for something else: Erlang's points to
 * the heap of the process that it runs, whose data lie right below. All handlers of such a program
 * want an alternate stack, and nothing else may write there: neither a signal of the program's nor
 * whatever makes the thread give way to others. Nor does what comes while one thread is left for
 * another touch the alternate stack that either waits on.
 *
 * PARITY: switches=20 threads=5
 */
#define _GNU_SOURCE
#include <signal.h>

#include "thread.h"

enum { kThreads = 4, kHeap = 65536, kAlternate = 65536, kFilled = 0x5a };
static char heaps[kThreads][kHeap] __attribute__((aligned(4096)));
static volatile sig_atomic_t handled, wrong_stack, stop;
static __thread char* alternate;

static void handler(int signal) {
    char here;
    (void)signal;
    handled++;
    if (alternate) wrong_stack += &here < alternate || &here >= alternate + kAlternate;
}

static void* compute(void* arg) {
    char* heap = arg;
    stack_t s = {.ss_sp = malloc(kAlternate), .ss_size = kAlternate};
    CHECK(s.ss_sp != NULL && sigaltstack(&s, NULL) == 0);
    alternate = s.ss_sp;
    for (int round = 0; round < 8; round++) {
        memset(heap, kFilled, kHeap);
        char* top = heap + kHeap / 2;
        unsigned long n = 20000000;
        __asm__ volatile(
            "mov %%rsp, %%r12\n"
            "mov %1, %%rsp\n"
            "1: dec %0\n"
            "jnz 1b\n"
            "mov %%r12, %%rsp\n"
            : "+r"(n)
            : "r"(top)
            : "r12", "memory");
        for (size_t i = 0; i < kHeap; i++) CHECK(heap[i] == kFilled);
    }
    return arg;
}

static void* disturb(void* arg) {
    const pthread_t* threads = arg;
    while (!stop) {
        usleep(100);
        for (int i = 0; i < kThreads; i++) pthread_kill(threads[i], SIGUSR1);
        kill(getpid(), SIGUSR2);
    }
    return NULL;
}

int main(void) {
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_ONSTACK | SA_RESTART};
    CHECK(sigaction(SIGUSR1, &action, NULL) == 0 && sigaction(SIGUSR2, &action, NULL) == 0);
    pthread_t threads[kThreads], disturbs;
    for (int i = 0; i < kThreads; i++) {
        CHECK(pthread_create(&threads[i], NULL, compute, heaps[i]) == 0);
    }
    CHECK(pthread_create(&disturbs, NULL, disturb, threads) == 0);
    for (int i = 0; i < kThreads; i++) CHECK(pthread_join(threads[i], NULL) == 0);
    stop = 1;
    CHECK(pthread_join(disturbs, NULL) == 0);
    CHECK(handled > 0 && wrong_stack == 0);
    puts("intact");
    return 0;
}
