/* Threads that ask poll(2), select(2) and epoll_wait(2) about a signalfd(2) are told of what only
 * they were sent, before they ask or while they wait, though the first thread does not block the
 * signal; and nobody else is told.
 *
 * PARITY: switches=20 threads=4 timeout=20
 */
#include "parity.h"

#include <sys/epoll.h>
#include <sys/signalfd.h>

enum { KINDS = 3, ROUNDS = 6 };
static const char* const kinds[KINDS] = {"poll", "select", "epoll"};
static int descriptor;
static long handled, asked[KINDS], told[KINDS], sent[KINDS];

static void handler(int number) {
    (void)number;
    add_to(&handled, 1);
}

static int ask(long kind, int set, int ms) {
    struct pollfd one = {descriptor, POLLIN, 0};
    struct epoll_event event;
    struct timeval time = timeval_ms(ms);
    fd_set readable;
    switch (kind) {
        case 0:
            return poll(&one, 1, ms);
        case 1:
            FD_ZERO(&readable);
            FD_SET(descriptor, &readable);
            return select(descriptor + 1, &readable, NULL, NULL, ms < 0 ? NULL : &time);
        default:
            return epoll_wait(set, &event, 1, ms);
    }
}

static void* asker(void* argument) {
    long kind = (long)argument;
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGUSR1);
    SAME(pthread_sigmask(SIG_BLOCK, &signals, NULL), 0);
    int set = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN};
    SAME(epoll_ctl(set, EPOLL_CTL_ADD, descriptor, &event), 0);
    for (int i = 0; i < ROUNDS; ++i) {
        struct signalfd_siginfo info;
        add_to(&asked[kind], 1);
        if (i % 2 != 0) wait_for(&sent[kind], i + 1);
        SAME(ask(kind, set, -1), 1);
        SAME(read(descriptor, &info, sizeof info), sizeof info);
        SAME(info.ssi_signo, SIGUSR1);
        SAME(ask(kind, set, 0), 0);
        add_to(&told[kind], 1);
    }
    close(set);
    return NULL;
}

int main(void) {
    signal(SIGUSR1, handler);
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGUSR1);
    start_ticking();
    descriptor = signalfd(-1, &signals, 0);
    pthread_t threads[KINDS];
    for (long kind = 0; kind < KINDS; ++kind) threads[kind] = start(asker, (void*)kind);
    for (int i = 0; i < ROUNDS; ++i) {
        for (int kind = 0; kind < KINDS; ++kind) {
            wait_for(&asked[kind], i + 1);
            wait_ticks(5);
            SAME(pthread_kill(threads[kind], SIGUSR1), 0);
            add_to(&sent[kind], 1);
            wait_for(&told[kind], i + 1);
        }
    }
    for (int kind = 0; kind < KINDS; ++kind) {
        join(threads[kind]);
        say("%s: told %ld times", kinds[kind], value_of(&told[kind]));
    }
    stop_ticking();
    say("%ld handled", value_of(&handled));
    return 0;
}
