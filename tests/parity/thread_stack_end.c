/* Where a thread's stack ends: pthread_getattr_np tells its lowest address, and a write just below
 * it, into the guard, is a fault at an address within one guard of it. By that Rust, OCaml and
 * others tell an overflow from any other fault.
 *
 * PARITY: threads=1 switches=1
 */
#include "thread.h"

#include <setjmp.h>
#include <signal.h>

static sigjmp_buf back;
static char *low, *fault;
static size_t guard;

static void on_fault(int signal, siginfo_t* info, void* context) {
    (void)signal, (void)context;
    fault = info->si_addr;
    siglongjmp(back, 1);
}

static void* overflow(void* argument) {
    pthread_attr_t attributes;
    size_t size;
    void* lowest;
    CHECK(pthread_getattr_np(pthread_self(), &attributes) == 0);
    CHECK(pthread_attr_getstack(&attributes, &lowest, &size) == 0);
    CHECK(pthread_attr_getguardsize(&attributes, &guard) == 0);
    CHECK(pthread_attr_destroy(&attributes) == 0);
    low = lowest;
    printf("%zu KiB, guard %zu\n", size >> 10, guard);
    char* at = __builtin_frame_address(0);
    if (sigsetjmp(back, 1) == 0) {
        for (at -= 4096;; at -= 512) *(volatile char*)at = 1;
    }
    printf("the fault is in the guard: %d\n", fault < low && fault >= low - guard);
    return argument;
}

int main(void) {
    static char alternate[65536];
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    stack_t stack = {.ss_sp = alternate, .ss_size = sizeof alternate};
    CHECK(sigaltstack(&stack, NULL) == 0);
    CHECK(sigaction(SIGSEGV, &action, NULL) == 0);
    for (size_t size = (size_t)256 << 10; size <= (size_t)8 << 20; size *= 2) {
        pthread_attr_t attributes;
        pthread_t thread;
        CHECK(pthread_attr_init(&attributes) == 0);
        CHECK(pthread_attr_setstacksize(&attributes, size) == 0);
        CHECK(pthread_create(&thread, &attributes, overflow, NULL) == 0);
        finish(thread);
        CHECK(pthread_attr_destroy(&attributes) == 0);
    }
    return 0;
}
