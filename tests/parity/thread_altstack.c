/* Handlers on alternate signal stacks when the stack's owner is not the one that runs: a thread
 * that ended took its alternate stack with it (unmapped) and a signal for the process comes
 * afterwards; a handler sleeps on the main thread's alternate stack while another thread computes
 * and a second signal comes: neither may write over the other's frame.
 *
 * PARITY: switches=10 threads=14 timeout=20
 */
#include "thread.h"

#include <signal.h>
#include <sys/mman.h>

enum { STACK = 256 * 1024, FRAME = 5000 };

static volatile sig_atomic_t handled, sleeping;
static sem_t inside;

static void count(int number) {
    (void)number;
    handled++;
}

static void install(int number, void (*handler)(int)) {
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_ONSTACK | SA_RESTART};
    sigemptyset(&action.sa_mask);
    CHECK(sigaction(number, &action, NULL) == 0);
}

static void* leaves_its_stack(void* arg) {
    void* memory = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(memory != MAP_FAILED);
    stack_t stack = {.ss_sp = memory, .ss_size = STACK};
    CHECK(sigaltstack(&stack, NULL) == 0);
    if (arg) {
        CHECK(pthread_kill(pthread_self(), SIGUSR1) == 0);
        while (!handled) sched_yield();
    }
    nap(1);
    CHECK(munmap(memory, STACK) == 0);
    return NULL;
}

/* Fills its frame, sleeps, and looks whether its frame is as it left it. */
static void sleep_in_handler(int number) {
    volatile unsigned char frame[FRAME];
    for (int i = 0; i < FRAME; i++) frame[i] = (unsigned char)(number + i);
    sleeping++;
    if (number == SIGUSR1) sem_post(&inside);
    nap(number == SIGUSR1 ? 60 : 10);
    for (int i = 0; i < FRAME; i++) CHECK(frame[i] == (unsigned char)(number + i));
    handled++;
}

static void* send_second(void* target) {
    while (sem_wait(&inside) != 0) CHECK(errno == EINTR);
    struct timespec end = in_ms(CLOCK_MONOTONIC, 15);
    if (target)
        CHECK(pthread_kill(*(pthread_t*)target, SIGUSR2) == 0);
    else
        CHECK(kill(getpid(), SIGUSR2) == 0);
    while (!reached(CLOCK_MONOTONIC, end)) {
    }
    return NULL;
}

int main(void) {
    install(SIGUSR1, count);
    for (int i = 0; i < 10; i++) {
        handled = 0;
        finish(spawn(leaves_its_stack, i % 2 ? "use it" : NULL));
        handled = 0;
        CHECK(kill(getpid(), SIGUSR1) == 0);
        while (!handled) nap(1);
    }
    puts("handled after the stack's owner ended");

    static unsigned char memory[STACK];
    stack_t stack = {.ss_sp = memory, .ss_size = STACK};
    CHECK(sigaltstack(&stack, NULL) == 0);
    CHECK(sem_init(&inside, 0, 0) == 0);
    install(SIGUSR1, sleep_in_handler);
    install(SIGUSR2, sleep_in_handler);
    pthread_t self = pthread_self();
    for (int i = 0; i < 4; i++) {
        handled = sleeping = 0;
        pthread_t sender = spawn(send_second, i % 2 ? &self : NULL);
        CHECK(raise(SIGUSR1) == 0);
        finish(sender);
        while (handled < 2) nap(1);
        printf("%d handlers slept, %d ended\n", (int)sleeping, (int)handled);
    }
    return 0;
}
