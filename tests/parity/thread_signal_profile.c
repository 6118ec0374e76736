/* Profiling: the signals of ITIMER_PROF and ITIMER_VIRTUAL come to the thread that computes, not to
 * one that waits, and their handler's context tells where it computes.
 *
 * PARITY: threads=2 switches=2
 */
#include "thread.h"

#include <signal.h>
#include <sys/time.h>
#include <ucontext.h>

enum { samples_wanted = 20 };
static pthread_t computing;
static volatile int samples, in_thread, in_loop;

extern char __start_spinning[], __stop_spinning[];
__attribute__((section("spinning"), noinline)) static void spin(void) {
    while (samples < samples_wanted) continue;
}

static void sample(int signal, siginfo_t* info, void* argument) {
    (void)signal;
    (void)info;
    if (samples == samples_wanted) return;
#if defined(__x86_64__)
    char* pc = (char*)((ucontext_t*)argument)->uc_mcontext.gregs[REG_RIP];
    in_loop += pc >= __start_spinning && pc < __stop_spinning;
#else
    (void)argument;
    in_loop++;
#endif
    in_thread += pthread_equal(pthread_self(), computing) != 0;
    samples++;
}

static void* compute(void* argument) {
    computing = pthread_self();
    spin();
    return argument;
}

static void profile(int timer, int signal) {
    struct sigaction action = {.sa_sigaction = sample, .sa_flags = SA_SIGINFO | SA_RESTART};
    struct itimerval often = {{0, 4000}, {0, 50000}}, never = {{0, 0}, {0, 0}};
    CHECK(sigaction(signal, &action, NULL) == 0);
    samples = in_thread = in_loop = 0;
    CHECK(setitimer(timer, &often, NULL) == 0);
    finish(spawn(compute, NULL));
    CHECK(setitimer(timer, &never, NULL) == 0);
    SHOW_YES(in_thread >= samples_wanted - 2);
    SHOW_YES(in_loop >= samples_wanted - 2);
}

int main(void) {
    profile(ITIMER_PROF, SIGPROF);
    profile(ITIMER_VIRTUAL, SIGVTALRM);
    return 0;
}
