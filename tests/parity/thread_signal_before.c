/* Signals that the first thread sent to itself before there was another one are pending for that
 * thread alone: no other one sees or takes them. Those for the process are pending for all.
 *
 * PARITY: switches=2 threads=1
 */
#include "thread.h"

#include <signal.h>

static const struct timespec at_once = {0, 0};

static void look(const char* who) {
    sigset_t pending;
    sigemptyset(&pending);
    printf("%s\n", who);
    SHOW(sigpending(&pending));
    SHOW_YES(sigismember(&pending, SIGUSR1));
    SHOW_YES(sigismember(&pending, SIGUSR2));
    SHOW_YES(sigismember(&pending, SIGRTMIN));
}

static int taken(int signal, siginfo_t* info) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, signal);
    return sigtimedwait(&set, info, &at_once);
}

static void* body(void* arg) {
    sigset_t mask;
    look("a thread");
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    SHOW_YES(sigismember(&mask, SIGUSR1));
    SHOW_YES(taken(SIGUSR1, NULL) == SIGUSR1);
    SHOW_YES(taken(SIGRTMIN, NULL) == SIGRTMIN);
    SHOW_YES(taken(SIGUSR2, NULL) == SIGUSR2);
    return arg;
}

int main(void) {
    sigset_t mask;
    siginfo_t info;
    sigemptyset(&mask);
    sigaddset(&mask, SIGUSR1);
    sigaddset(&mask, SIGUSR2);
    sigaddset(&mask, SIGRTMIN);
    CHECK(pthread_sigmask(SIG_BLOCK, &mask, NULL) == 0);
    raise(SIGRTMIN);
    CHECK(taken(SIGRTMIN, &info) == SIGRTMIN);
    SHOW_YES(info.si_code == SI_USER);
    raise(SIGUSR1);
    kill(getpid(), SIGUSR2);
    pthread_sigqueue(pthread_self(), SIGRTMIN, (union sigval){.sival_int = 1});
    pthread_sigqueue(pthread_self(), SIGRTMIN, (union sigval){.sival_int = 2});
    finish(spawn(body, NULL));
    look("main");
    CHECK(taken(SIGUSR1, &info) == SIGUSR1);
    SHOW_YES(info.si_code == SI_USER && info.si_pid == getpid());
    for (int i = 0; i < 2; ++i) {
        CHECK(taken(SIGRTMIN, &info) == SIGRTMIN);
        SHOW_LONG(info.si_value.sival_int);
    }
    SHOW_YES(taken(SIGRTMIN, NULL) == SIGRTMIN);
    return 0;
}
