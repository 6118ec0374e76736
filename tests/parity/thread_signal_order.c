/* A signal that came while a thread was busy is handled before the thread's next call about signals
 * or timers takes effect: the handler that is installed still gets it, a mask that is set comes
 * too late, a timer that is stopped has run out, and one that the handler starts is stopped by the
 * call that follows it.
 *
 * PARITY: threads=1 switches=1 timeout=60
 */
#include "thread.h"

#include <signal.h>
#include <sys/time.h>

static volatile sig_atomic_t handled;
static int starts_again;
static char memory[4 << 20];

static void set_timer(long us) {
    struct itimerval t = {{0, 0}, {us / 1000000, us % 1000000}};
    CHECK(setitimer(ITIMER_REAL, &t, NULL) == 0);
}

static void handler(int number) {
    (void)number;
    ++handled;
    if (starts_again) set_timer(100000);
}

static void install(int number) {
    struct sigaction action = {.sa_handler = handler};
    CHECK(sigaction(number, &action, NULL) == 0);
}

/* The timer runs out while the thread is inside libc, and no call is made there. */
static void busy(void) {
    struct timespec end = in_ms(CLOCK_MONOTONIC, 60);
    for (int i = 0; !reached(CLOCK_MONOTONIC, end); ++i) memset(memory, i, sizeof memory);
}

static void expire(void) {
    handled = 0;
    install(SIGALRM);
    set_timer(5000);
    busy();
}

static void* nothing(void* arg) { return arg; }

int main(void) {
    finish(spawn(nothing, NULL));

    expire();
    signal(SIGALRM, SIG_DFL);
    printf("default action: handled %d\n", handled);

    expire();
    signal(SIGALRM, SIG_IGN);
    printf("ignored: handled %d\n", handled);

    sigset_t alarms, old, pending;
    sigemptyset(&alarms);
    sigaddset(&alarms, SIGALRM);
    expire();
    CHECK(pthread_sigmask(SIG_BLOCK, &alarms, &old) == 0);
    CHECK(sigpending(&pending) == 0);
    printf("blocked: handled %d, pending %d\n", handled, sigismember(&pending, SIGALRM));
    CHECK(pthread_sigmask(SIG_SETMASK, &old, NULL) == 0);

    expire();
    set_timer(0);
    printf("timer stopped: handled %d\n", handled);

    expire();
    SHOW_LONG(alarm(0));
    printf("alarm stopped: handled %d\n", handled);

    timer_t id;
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGALRM};
    struct itimerspec when = {{0, 0}, {0, 5000000}}, none = {{0, 0}, {0, 0}};
    CHECK(timer_create(CLOCK_MONOTONIC, &event, &id) == 0);
    for (int delete = 0; delete < 2; ++delete) {
        handled = 0;
        install(SIGALRM);
        CHECK(timer_settime(id, 0, &when, NULL) == 0);
        busy();
        CHECK((delete ? timer_delete(id) : timer_settime(id, 0, &none, NULL)) == 0);
        printf("POSIX timer %s: handled %d\n", delete ? "deleted" : "stopped", handled);
    }

    starts_again = 1;
    expire();
    struct itimerval left;
    set_timer(0);
    CHECK(getitimer(ITIMER_REAL, &left) == 0);
    printf("started by the handler, then stopped: handled %d, left %ld\n", handled,
           (long)left.it_value.tv_usec);
    return 0;
}
