/* signalfd(2) read by a thread: signals sent to the process, to the thread by another one and by
 * itself all come out of it, with their values; read, poll and epoll wait for them; a signal that
 * was pending before the descriptor was made is there at once.
 *
 * PARITY: switches=5 threads=2 */
#include "parity.h"

#include <sys/epoll.h>
#include <sys/signalfd.h>

static int fd;
static long step;

static void expect(int number, int value) {
    struct signalfd_siginfo info;
    SAME(read(fd, &info, sizeof info), sizeof info);
    SAME(info.ssi_signo, number);
    SAME(info.ssi_int, value);
    SAME(info.ssi_pid, getpid());
}

static void expect_polled(int number) {
    struct pollfd p = {fd, POLLIN, 0};
    SAME(poll(&p, 1, 5000), 1);
    expect(number, 0);
    SAME(poll(&p, 1, 5), 0);
}

static void* reader(void* argument) {
    (void)argument;
    set_to(&step, 1);
    expect(SIGUSR1, 0);
    set_to(&step, 2);
    expect(SIGUSR1, 0);
    set_to(&step, 3);
    expect(SIGRTMIN + 1, 7);
    SAME(raise(SIGUSR2), 0);
    expect(SIGUSR2, 0);
    SAME(pthread_kill(pthread_self(), SIGUSR2), 0);
    expect_polled(SIGUSR2);
    return NULL;
}

int main(void) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGUSR2);
    sigaddset(&set, SIGRTMIN + 1);
    SAME(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
    start_ticking();
    SAME(raise(SIGUSR1), 0); /* before there is a descriptor */
    fd = signalfd(-1, &set, SFD_CLOEXEC);
    CHECK(fd >= 0);
    expect_polled(SIGUSR1);
    say("pending before");

    pthread_t thread = start(reader, NULL);
    wait_for(&step, 1);
    wait_ticks(5);
    SAME(kill(getpid(), SIGUSR1), 0);
    wait_for(&step, 2);
    wait_ticks(5);
    SAME(pthread_kill(thread, SIGUSR1), 0);
    wait_for(&step, 3);
    wait_ticks(5);
    union sigval value = {.sival_int = 7};
    SAME(pthread_sigqueue(thread, SIGRTMIN + 1, value), 0);
    join(thread);
    say("to the process, to a thread, to itself");

    struct epoll_event event = {.events = EPOLLIN};
    int set_of_one = epoll_create1(EPOLL_CLOEXEC);
    SAME(epoll_ctl(set_of_one, EPOLL_CTL_ADD, fd, &event), 0);
    SAME(epoll_wait(set_of_one, &event, 1, 5), 0);
    SAME(raise(SIGUSR1), 0);
    SAME(epoll_wait(set_of_one, &event, 1, 5000), 1);
    expect(SIGUSR1, 0);
    set_nonblocking(fd, 1);
    struct signalfd_siginfo info;
    FAILS(read(fd, &info, sizeof info), EAGAIN);
    FAILS(read(fd, &info, 1), EINVAL);
    say("epoll, and without waiting");

    /* What sigwait(3) waits for in one thread is not lost while a descriptor could read it. */
    SAME(raise(SIGUSR2), 0);
    int number = 0;
    SAME(sigwait(&set, &number), 0);
    SAME(number, SIGUSR2);
    sigdelset(&set, SIGUSR2);
    SAME(signalfd(fd, &set, 0), fd);
    say("sigwait beside it");
    stop_ticking();
    return 0;
}
