/* Code that a program makes itself may use the stack pointer for something else: Erlang's points to
 * the heap of the process that it runs, whose data lie right below. All handlers of such a program
 * want an alternate stack, and nothing else may write there: neither a signal of the program's nor
 * whatever makes the thread give way to others.
 *
 * PARITY: switches=20 threads=2
 */
#define _GNU_SOURCE
#include <signal.h>

#include "thread.h"

static char heap[65536] __attribute__((aligned(4096)));
static volatile sig_atomic_t handled, wrong_stack, stop;
static char* alternate;
enum { kAlternate = 65536, kFilled = 0x5a };

static void handler(int signal) {
    char here;
    (void)signal;
    handled++;
    wrong_stack += &here < alternate || &here >= alternate + kAlternate;
}

static void* compute(void* arg) {
    alternate = malloc(kAlternate);
    CHECK(alternate != NULL);
    stack_t s = {.ss_sp = alternate, .ss_size = kAlternate};
    CHECK(sigaltstack(&s, NULL) == 0);
    for (int round = 0; round < 8; round++) {
        memset(heap, kFilled, sizeof heap);
        char* top = heap + sizeof heap / 2;
        unsigned long n = 40000000;
        __asm__ volatile(
            "mov %%rsp, %%r12\n"
            "mov %1, %%rsp\n"
            "1: dec %0\n"
            "jnz 1b\n"
            "mov %%r12, %%rsp\n"
            : "+r"(n)
            : "r"(top)
            : "r12", "memory");
        for (size_t i = 0; i < sizeof heap; i++) CHECK(heap[i] == kFilled);
    }
    stop = 1;
    return arg;
}

static void* disturb(void* arg) {
    pthread_t computes = *(pthread_t*)arg;
    while (!stop) {
        usleep(2000);
        pthread_kill(computes, SIGUSR1);
    }
    return NULL;
}

int main(void) {
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_ONSTACK | SA_RESTART};
    CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
    pthread_t threads[2];
    CHECK(pthread_create(&threads[0], NULL, compute, NULL) == 0);
    CHECK(pthread_create(&threads[1], NULL, disturb, &threads[0]) == 0);
    for (int i = 0; i < 2; i++) CHECK(pthread_join(threads[i], NULL) == 0);
    CHECK(handled > 0 && wrong_stack == 0);
    puts("intact");
    return 0;
}
