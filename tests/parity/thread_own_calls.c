/* A program that takes threads from libc and makes all its system calls itself, by one function for
 * each number of arguments, as the run-time of a language does. Its threads read, which waits.
 *
 * PARITY: dormant=1 */
#include "parity.h"

#include <sys/syscall.h>

#if defined(__x86_64__)
#    define CALL(name)                                  \
        long name(long number, long a, long b, long c); \
        __asm__(".text\n.globl " #name "\n" #name       \
                ":\n"                                   \
                "movq %rdi, %rax\n"                     \
                "movq %rsi, %rdi\n"                     \
                "movq %rdx, %rsi\n"                     \
                "movq %rcx, %rdx\n"                     \
                "syscall\n"                             \
                "cmpq $-4095, %rax\n"                   \
                "jb 1f\n"                               \
                "movq $-1, %rax\n"                      \
                "1: ret\n")
CALL(call_0);
CALL(call_1);
CALL(call_2);
CALL(call_3);
CALL(call_4);
CALL(call_5);
CALL(call_6);
#else
#    define call_3 syscall
#endif

static int ends[2];

static void* receive(void* argument) {
    char c = 0;
    SAME(call_3(SYS_read, ends[0], (long)&c, 1), 1);
    SAME(c, 'x');
    return argument;
}

int main(void) {
    SAME(pipe(ends), 0);
    pthread_t thread = start(receive, NULL);
    usleep(20000);
    SAME(call_3(SYS_write, ends[1], (long)"x", 1), 1);
    SAME(pthread_join(thread, NULL), 0);
    puts("received");
    return 0;
}
