/* A hundred new threads compute from their first instruction on, and the one that made them sleeps
 * for short times, and waits for signals: it need not wait until each of them has used up its first
 * slice. The time is that of the machine or of this process's computing, whichever is less: other
 * programs may want the CPU too. Natively it is the kernel that decides, and kernels differ: what
 * is expected is our promise.
 *
 * PARITY: threads=200 switches=200 native=0
 */
#include "thread.h"

#include <signal.h>
#include <sys/time.h>

enum { hogs = 100, first_round_ms = 600 /* of at least 1000 */ };
static volatile unsigned long turns[hogs];
static volatile int stop;
static volatile sig_atomic_t alarms;

static void* compute(void* argument) {
    while (!stop) turns[(long)argument]++;
    return NULL;
}

static void on_alarm(int signal) {
    (void)signal;
    alarms++;
}

static long ms_of(clockid_t clock) {
    struct timespec t;
    CHECK(clock_gettime(clock, &t) == 0);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void wait_for_alarm(void) { /* which is blocked in all threads */
    struct itimerval soon = {{0, 0}, {0, 20000}};
    sigset_t none;
    sigemptyset(&none);
    CHECK(setitimer(ITIMER_REAL, &soon, NULL) == 0);
    sigsuspend(&none);
}

static void nap_often(void) {
    for (int i = 0; i < 10; i++) nap(5);
}

static void among_hogs(const char* what, void (*wait)(void)) {
    pthread_t hog[hogs];
    stop = 0;
    for (long i = 0; i < hogs; i++) hog[i] = spawn(compute, (void*)i);
    nap(1); /* on a slow machine it has used up a slice itself */
    long real = ms_of(CLOCK_MONOTONIC), cpu = ms_of(CLOCK_PROCESS_CPUTIME_ID);
    wait();
    real = ms_of(CLOCK_MONOTONIC) - real;
    cpu = ms_of(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    printf("%s: %s\n", what, (real < cpu ? real : cpu) < first_round_ms ? "soon" : "late");
    stop = 1;
    for (int i = 0; i < hogs; i++) finish(hog[i]);
}

int main(void) {
    struct sigaction action = {.sa_handler = on_alarm};
    sigset_t alarm;
    sigemptyset(&alarm);
    sigaddset(&alarm, SIGALRM);
    CHECK(sigaction(SIGALRM, &action, NULL) == 0);
    CHECK(pthread_sigmask(SIG_BLOCK, &alarm, NULL) == 0);
    among_hogs("slept", nap_often);
    among_hogs("signalled", wait_for_alarm);
    printf("alarms: %d\n", (int)alarms);
    return 0;
}
