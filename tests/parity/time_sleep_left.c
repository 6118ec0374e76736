/* What a sleep that a signal ended says is left: sleep in whole seconds, nanosleep and
 * clock_nanosleep exactly, an absolute clock_nanosleep nothing, usleep EINTR.
 *
 * PARITY: switches=10 threads=1 */
#include "parity.h"

static long handled;

static void count(int number) {
    (void)number;
    add_to(&handled, 1);
}

static void alarm_after(long ms) {
    struct itimerval when = {{0, 0}, timeval_ms(ms)};
    SAME(setitimer(ITIMER_REAL, &when, NULL), 0);
}

int main(void) {
    struct sigaction action;
    sigset_t alarm_only;
    memset(&action, 0, sizeof action);
    action.sa_handler = count;
    SAME(sigaction(SIGALRM, &action, NULL), 0);
    sigemptyset(&alarm_only);
    sigaddset(&alarm_only, SIGALRM);
    SAME(pthread_sigmask(SIG_BLOCK, &alarm_only, NULL), 0); /* for the ticking thread */
    start_ticking();
    SAME(pthread_sigmask(SIG_UNBLOCK, &alarm_only, NULL), 0);

    alarm_after(250);
    say("3 s, after 0.25 s sleep says %u", sleep(3));
    alarm_after(650);
    say("2 s, after 0.65 s sleep says %u", sleep(2));
    alarm_after(100);
    say("1 s, after 0.1 s sleep says %u", sleep(1));

    struct timespec wanted = {100, 0}, left = {0, 0};
    alarm_after(50);
    FAILS(nanosleep(&wanted, &left), EINTR);
    CHECK(left.tv_sec < 100 && left.tv_sec >= 90);
    left = wanted;
    alarm_after(50);
    FAILS(nanosleep(&left, &left), EINTR); /* the same place for both */
    CHECK(left.tv_sec < 100 && left.tv_sec >= 90);
    left.tv_sec = 0;
    alarm_after(50);
    SAME(clock_nanosleep(CLOCK_MONOTONIC, 0, &wanted, &left), EINTR);
    CHECK(left.tv_sec < 100 && left.tv_sec >= 90);
    alarm_after(50);
    SAME(clock_gettime(CLOCK_REALTIME, &wanted), 0);
    wanted.tv_sec += 100;
    left.tv_sec = 4711;
    SAME(clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &wanted, &left), EINTR);
    SAME(left.tv_sec, 4711);
    alarm_after(50);
    FAILS(usleep(100000000), EINTR);
    say("%ld alarms", value_of(&handled));
    stop_ticking();
    return 0;
}
