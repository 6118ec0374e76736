/* Faults of several threads at once, each handled on its own alternate stack while the others' wait
 * in their handlers. One that the first thread had before there was another is still its own after
 * others have ended.
 *
 * PARITY: threads=6 switches=6
 */
#include "thread.h"

#include <signal.h>
#include <sys/mman.h>

enum { threads = 4, page = 4096, size = 65536 };
static char* areas;
static pthread_barrier_t barrier;
static __thread char* own_stack;
static __thread int handled;

static void on_fault(int signal, siginfo_t* info, void* context) {
    char local[2000], *address = info->si_addr;
    (void)signal;
    (void)context;
    stack_t now;
    CHECK(local >= own_stack && local < own_stack + size);
    CHECK(sigaltstack(NULL, &now) == 0 && now.ss_sp == own_stack);
    CHECK(now.ss_flags == SS_ONSTACK && sigaltstack(&now, NULL) == -1 && errno == EPERM);
    memset(local, (int)((address - areas) / page), sizeof local);
    pthread_barrier_wait(&barrier);
    for (size_t i = 0; i < sizeof local; i++) CHECK(local[i] == (address - areas) / page);
    CHECK(mprotect(address, page, PROT_READ | PROT_WRITE) == 0);
    pthread_barrier_wait(&barrier);
    handled++;
}

static void use_stack(void) {
    stack_t stack = {.ss_sp = own_stack = malloc(size), .ss_size = size};
    CHECK(own_stack != NULL && sigaltstack(&stack, NULL) == 0);
}

static void drop_stack(void) {
    stack_t none = {.ss_flags = SS_DISABLE};
    CHECK(sigaltstack(&none, NULL) == 0);
    free(own_stack);
}

static void fault(char* address) {
    volatile double kept = (double)(address - areas);
    *(volatile char*)address = 1;
    CHECK(kept == (double)(address - areas) && handled == 1);
}

static void* body(void* argument) {
    use_stack();
    fault(areas + (long)argument * page);
    drop_stack();
    return NULL;
}

static void* come_and_go(void* argument) {
    use_stack();
    drop_stack();
    return argument;
}

int main(void) {
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    CHECK(sigaction(SIGSEGV, &action, NULL) == 0);
    areas = mmap(NULL, (size_t)(threads + 1) * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(areas != MAP_FAILED);
    CHECK(pthread_barrier_init(&barrier, NULL, threads) == 0);
    use_stack();
    pthread_t thread[threads];
    for (long i = 0; i < threads; i++) thread[i] = spawn(body, (void*)i);
    for (int i = 0; i < threads; i++) finish(thread[i]);
    printf("%d threads handled their faults\n", threads);
    for (int i = 0; i < 2; i++) finish(spawn(come_and_go, NULL));
    pthread_barrier_destroy(&barrier);
    CHECK(pthread_barrier_init(&barrier, NULL, 1) == 0);
    fault(areas + threads * page);
    printf("and the first one\n");
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        handled = 0;
        CHECK(mprotect(areas, page, PROT_NONE) == 0);
        fault(areas);
        _exit(0);
    }
    printf("and a child: %d\n", child_status(child));
    return 0;
}
