/* The sticky exception flags of floating-point arithmetic are each thread's own too: one thread's
 * division by zero is not seen by another, and its own flag survives a wait.
 *
 * PARITY: switches=20 threads=8
 */
#include "thread.h"

enum { threads = 8, invalid = 1, divided_by_zero = 4, overflow = 8 };
static pthread_barrier_t barrier;

static unsigned get_mxcsr(void) {
    unsigned value;
    __asm__ volatile("stmxcsr %0" : "=m"(value));
    return value;
}

static void clear_flags(void) {
    unsigned value = get_mxcsr() & ~0x3fu;
    __asm__ volatile("ldmxcsr %0" : : "m"(value));
}

static void* body(void* arg) {
    static const unsigned flags[4] = {divided_by_zero, overflow, invalid, 0};
    unsigned mine = flags[(long)arg % 4];
    clear_flags();
    pthread_barrier_wait(&barrier);
    volatile double zero = 0, big = 1e308, result = 0;
    if (mine == divided_by_zero) result = 1 / zero;
    if (mine == overflow) result = big * 10;
    if (mine == invalid) result = zero / zero;
    (void)result;
    pthread_barrier_wait(&barrier);
    unsigned seen = get_mxcsr() & (divided_by_zero | overflow | invalid);
    return (void*)(long)(seen == mine);
}

int main(void) {
    pthread_barrier_init(&barrier, NULL, threads);
    pthread_t thread[threads];
    for (long i = 0; i < threads; i++) thread[i] = spawn(body, (void*)i);
    int right = 0;
    for (long i = 0; i < threads; i++) right += finish(thread[i]) != NULL;
    printf("threads that saw their own flags only: %d\n", right);
    return 0;
}
