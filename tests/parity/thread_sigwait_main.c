/* The first thread waits in sigwait and sigtimedwait for signals that another thread does not
 * block, and whose action is the default one, which would end the process: the waiting thread gets
 * them.
 *
 * PARITY: switches=5 threads=1 */
#include "parity.h"

static long asked, sent_to = SIGTERM;

static void* sender(void* unused) {
    sigset_t none;
    sigemptyset(&none);
    SAME(pthread_sigmask(SIG_SETMASK, &none, NULL), 0);
    for (long round = 1; round <= 4; round++) {
        wait_for(&asked, round);
        sleep_ms(50); /* the first thread waits by now */
        SAME(kill(getpid(), (int)value_of(&sent_to)), 0);
    }
    return unused;
}

int main(void) {
    const int signals[] = {SIGTERM, SIGUSR1, SIGCHLD, SIGRTMIN};
    sigset_t set;
    sigemptyset(&set);
    for (int i = 0; i < 4; i++) sigaddset(&set, signals[i]);
    SAME(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
    pthread_t other = start(sender, NULL);
    for (int i = 0; i < 4; i++) {
        struct timespec long_time = {50, 0};
        siginfo_t info;
        int got = 0;
        set_to(&sent_to, signals[i]);
        add_to(&asked, 1);
        if (i % 2 == 0) {
            SAME(sigwait(&set, &got), 0);
        } else {
            got = sigtimedwait(&set, &info, &long_time);
            SAME(info.si_code, SI_USER);
        }
        SAME(got, signals[i]);
        say("signal %d came", i);
    }
    join(other);
    return 0;
}
