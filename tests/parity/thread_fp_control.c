/* The floating-point environment is each thread's own: rounding mode and denormals flushed to zero
 * (in MXCSR), rounding mode and precision of the x87. A new thread starts with its maker's; a
 * change stays in the thread that made it, whoever runs in between; results of arithmetic follow
 * it. Written on the machine's own words: fesetround would need libm and hides half of them.
 *
 * PARITY: switches=200 threads=65
 */
#include "thread.h"

enum { threads = 64, rounds = 5 };
enum { sticky_flags = 0x3f, flush_to_zero = 0x8000, denormals_are_zero = 0x40 };
enum { precision_mask = 0x300, double_precision = 0x200 };
static pthread_barrier_t barrier;

static unsigned get_mxcsr(void) {
    unsigned value;
    __asm__ volatile("stmxcsr %0" : "=m"(value));
    return value & ~(unsigned)sticky_flags;
}

static void set_mxcsr(unsigned value) { __asm__ volatile("ldmxcsr %0" : : "m"(value)); }

static unsigned get_x87(void) {
    unsigned short value;
    __asm__ volatile("fnstcw %0" : "=m"(value));
    return value;
}

static void set_x87(unsigned value) {
    unsigned short word = (unsigned short)value;
    __asm__ volatile("fldcw %0" : : "m"(word));
}

/* 0 to nearest, 1 down, 2 up, 3 towards zero. */
static void set_rounding(unsigned mode) {
    set_mxcsr((get_mxcsr() & ~0x6000u) | mode << 13);
    set_x87((get_x87() & ~0xc00u) | mode << 10);
}

static double third(double sign) {
    volatile double one = sign, three = 3;
    return one / three;
}

static long double long_third(void) {
    volatile long double one = 1, three = 3;
    return one / three;
}

/* What the arithmetic itself does under each rounding mode, worked out before any thread exists. */
static double plus[4], minus[4];
static long double with_precision[2][4];

static void* body(void* arg) {
    unsigned i = (unsigned)(long)arg, mode = i % 4, flush = i / 4 % 2, imprecise = i / 8 % 2;
    set_rounding(mode);
    if (flush) set_mxcsr(get_mxcsr() | flush_to_zero | denormals_are_zero);
    if (imprecise) set_x87((get_x87() & ~(unsigned)precision_mask) | double_precision);
    unsigned mxcsr = get_mxcsr(), x87 = get_x87();
    for (int round = 0; round < rounds; round++) {
        if (round % 2) usleep(100);
        pthread_barrier_wait(&barrier);
        CHECK(get_mxcsr() == mxcsr && get_x87() == x87);
        CHECK(third(1) == plus[mode] && third(-1) == minus[mode]);
        CHECK(long_third() == with_precision[imprecise][mode]);
        volatile double tiny = 4.0e-308, hundred = 100;
        CHECK((tiny / hundred == 0) == (flush == 1));
    }
    return NULL;
}

static void* what_i_started_with(void* arg) {
    unsigned* got = arg;
    got[0] = get_mxcsr();
    got[1] = get_x87();
    return NULL;
}

int main(void) {
    unsigned mxcsr = get_mxcsr(), x87 = get_x87();
    for (unsigned mode = 0; mode < 4; mode++) {
        set_rounding(mode);
        plus[mode] = third(1);
        minus[mode] = third(-1);
        with_precision[0][mode] = long_third();
        set_x87((get_x87() & ~(unsigned)precision_mask) | double_precision);
        with_precision[1][mode] = long_third();
        set_x87(x87);
    }
    set_mxcsr(mxcsr);
    SHOW_YES(plus[2] > plus[1] && minus[2] > minus[1] && plus[3] == plus[1]);
    SHOW_YES(with_precision[0][0] != with_precision[1][0]);
    printf("main: mxcsr %#x x87 %#x\n", get_mxcsr(), get_x87());
    pthread_barrier_init(&barrier, NULL, threads);
    pthread_t thread[threads];
    for (long i = 0; i < threads; i++) thread[i] = spawn(body, (void*)i);
    for (long i = 0; i < threads; i++) finish(thread[i]);
    printf("main: mxcsr %#x x87 %#x\n", get_mxcsr(), get_x87());

    unsigned got[2] = {0, 0};
    set_rounding(2);
    set_mxcsr(get_mxcsr() | flush_to_zero);
    finish(spawn(what_i_started_with, got));
    printf("inherited: mxcsr %#x x87 %#x\n", got[0], got[1]);
    return 0;
}
