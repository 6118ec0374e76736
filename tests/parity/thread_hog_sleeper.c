/* Short sleeps, and waits for a byte that another sleeper writes, beside a thread that computes
 * without a call: they end soon after their time, not with the other's slice. The time is that of
 * the machine or of this process's computing, whichever is less: other programs may want the CPU
 * too.
 *
 * PARITY: threads=2 switches=100
 */
#include "thread.h"

enum { naps = 50, most_ms = 500 /* a slice each would be 500 at least, and is 1200 as a rule */ };
static volatile unsigned long turns;
static volatile int stop;
static int ends[2];

static void* compute(void* argument) {
    while (!stop) turns++;
    return argument;
}

static void* write_often(void* argument) {
    for (int i = 0; i < naps; i++) {
        nap(1);
        CHECK(write(ends[1], "x", 1) == 1);
    }
    return argument;
}

static long ms_of(clockid_t clock) {
    struct timespec t;
    CHECK(clock_gettime(clock, &t) == 0);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void show(const char* what, long real, long cpu) {
    real = ms_of(CLOCK_MONOTONIC) - real;
    cpu = ms_of(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    printf("%s: %s\n", what, (real < cpu ? real : cpu) < most_ms ? "soon" : "late");
}

int main(void) {
    CHECK(pipe(ends) == 0);
    pthread_t hog = spawn(compute, NULL);
    long real = ms_of(CLOCK_MONOTONIC), cpu = ms_of(CLOCK_PROCESS_CPUTIME_ID);
    for (int i = 0; i < naps; i++) nap(1);
    show("sleeps", real, cpu);

    pthread_t writer = spawn(write_often, NULL);
    real = ms_of(CLOCK_MONOTONIC), cpu = ms_of(CLOCK_PROCESS_CPUTIME_ID);
    for (int i = 0; i < naps; i++) {
        char byte;
        CHECK(read(ends[0], &byte, 1) == 1);
    }
    show("bytes", real, cpu);
    finish(writer);
    stop = 1;
    finish(hog);
    return 0;
}
