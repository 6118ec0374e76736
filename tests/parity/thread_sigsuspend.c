/* Calls that open the signal mask for as long as they wait (sigsuspend, ppoll, pselect,
 * epoll_pwait) when the signal is pending already: its handler runs once, the call is interrupted
 * at once, and the mask is as before. The signal is for the process or for the thread; the caller
 * is the main thread or another. Then the same with the signal coming while the call waits.
 *
 * PARITY: switches=20 threads=10 */
#include "parity.h"

#include <sys/epoll.h>

static long handled;
static int epoll_fd, never[2];
static sigset_t closed, open_mask;

static void count(int number) {
    (void)number;
    add_to(&handled, 1);
}

static int by_sigsuspend(void) { return sigsuspend(&open_mask); }
static int by_ppoll(void) {
    struct pollfd one = {never[0], POLLIN, 0};
    return ppoll(&one, 1, NULL, &open_mask);
}
static int by_ppoll_of_nothing(void) { return ppoll(NULL, 0, NULL, &open_mask); }
static int by_pselect(void) {
    fd_set set;
    FD_ZERO(&set);
    FD_SET(never[0], &set);
    return pselect(never[0] + 1, &set, NULL, NULL, NULL, &open_mask);
}
static int by_pselect_of_nothing(void) {
    struct timespec long_time = {1000, 0};
    return pselect(0, NULL, NULL, NULL, &long_time, &open_mask);
}
static int by_epoll_pwait(void) {
    struct epoll_event event;
    return epoll_pwait(epoll_fd, &event, 1, -1, &open_mask);
}

static const struct {
    const char* name;
    int (*wait)(void);
} ways[] = {{"sigsuspend", by_sigsuspend},
            {"ppoll", by_ppoll},
            {"ppoll of nothing", by_ppoll_of_nothing},
            {"pselect", by_pselect},
            {"pselect of nothing", by_pselect_of_nothing},
            {"epoll_pwait", by_epoll_pwait}};
enum { WAYS = sizeof ways / sizeof *ways };

static int is_pending(void) {
    sigset_t set;
    SAME(sigpending(&set), 0);
    return sigismember(&set, SIGUSR1);
}

static void interrupted(int way, long before) {
    sigset_t now;
    FAILS(ways[way].wait(), EINTR);
    SAME(value_of(&handled), before + 1);
    SAME(is_pending(), 0);
    SAME(pthread_sigmask(SIG_BLOCK, NULL, &now), 0);
    SAME(sigismember(&now, SIGUSR1), 1);
    SAME(sigismember(&now, SIGUSR2), 0);
}

static void* when_pending(void* who) {
    for (int i = 0; i < WAYS; i++) {
        long before = value_of(&handled);
        SAME(pthread_kill(pthread_self(), SIGUSR1), 0);
        SAME(is_pending(), 1);
        wait_ticks(2);
        interrupted(i, before);
        before = value_of(&handled);
        SAME(kill(getpid(), SIGUSR1), 0);
        SAME(is_pending(), 1);
        wait_ticks(2);
        interrupted(i, before);
        say("%s, pending: %s", (char*)who, ways[i].name);
    }
    return NULL;
}

static void* send_later(void* thread) {
    sleep_ms(30);
    SAME(pthread_kill(*(pthread_t*)thread, SIGUSR1), 0);
    return NULL;
}

static void* when_sent_later(void* who) {
    pthread_t self = pthread_self();
    for (int i = 0; i < WAYS; i++) {
        pthread_t sender = start(send_later, &self);
        interrupted(i, value_of(&handled));
        join(sender);
        say("%s, sent later: %s", (char*)who, ways[i].name);
    }
    return NULL;
}

int main(void) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = count;
    action.sa_flags = SA_RESTART; /* does not restart these calls */
    SAME(sigaction(SIGUSR1, &action, NULL), 0);
    SAME(pipe(never), 0);
    epoll_fd = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN};
    SAME(epoll_ctl(epoll_fd, EPOLL_CTL_ADD, never[0], &event), 0);
    sigemptyset(&open_mask);
    sigemptyset(&closed);
    sigaddset(&closed, SIGUSR1);
    SAME(pthread_sigmask(SIG_BLOCK, &closed, NULL), 0); /* every thread inherits this */
    start_ticking();
    when_pending("main");
    join(start(when_pending, "a thread"));
    when_sent_later("main");
    join(start(when_sent_later, "a thread"));
    stop_ticking();
    return 0;
}
