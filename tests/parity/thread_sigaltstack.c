/* Alternate signal stacks belong to threads: none at the start, each its own after sigaltstack,
 * still there after others ran, and a handler with SA_ONSTACK runs on the one of its thread: for a
 * signal sent to itself and for a fault, which it survives by a long jump.
 *
 * PARITY: switches=30 threads=8
 */
#include "thread.h"

#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>

enum { threads = 8, size = 64 << 10 };
static pthread_barrier_t barrier;
static char stacks[threads][size];
static __thread char* volatile handler_at;
static __thread sigjmp_buf recover;
static char* forbidden;

static void handler(int number) {
    handler_at = __builtin_frame_address(0);
    if (number == SIGSEGV) siglongjmp(recover, 1);
}

static void* body(void* arg) {
    long i = (long)arg;
    stack_t stack = {.ss_sp = stacks[i], .ss_size = size}, now;
    CHECK(sigaltstack(NULL, &now) == 0 && now.ss_flags == SS_DISABLE);
    CHECK(sigaltstack(&stack, NULL) == 0);
    for (int round = 0; round < 4; round++) {
        pthread_barrier_wait(&barrier);
        CHECK(sigaltstack(NULL, &now) == 0);
        CHECK(now.ss_sp == stacks[i] && now.ss_size == size && now.ss_flags == 0);
        handler_at = NULL;
        if (round % 2) {
            CHECK(raise(SIGUSR1) == 0);
        } else if (sigsetjmp(recover, 1) == 0) {
            *(volatile char*)forbidden = 1;
            CHECK(!"written");
        }
        CHECK(handler_at >= stacks[i] && handler_at < stacks[i] + size);
    }
    stack.ss_flags = SS_DISABLE;
    CHECK(sigaltstack(&stack, NULL) == 0);
    pthread_barrier_wait(&barrier);
    CHECK(sigaltstack(NULL, &now) == 0 && now.ss_flags == SS_DISABLE);
    return NULL;
}

int main(void) {
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_ONSTACK};
    sigemptyset(&action.sa_mask);
    CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
    CHECK(sigaction(SIGSEGV, &action, NULL) == 0);
    forbidden = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(forbidden != MAP_FAILED);
    pthread_barrier_init(&barrier, NULL, threads);
    pthread_t thread[threads];
    for (long i = 0; i < threads; i++) thread[i] = spawn(body, (void*)i);
    for (long i = 0; i < threads; i++) finish(thread[i]);
    printf("%d threads on their own signal stacks\n", threads);
    return 0;
}
