/* Calls that wait, made by number through syscall(2), and preadv2/pwritev2 at the current position:
 * each is released by a thread which ticks first, so that one which stopped everybody would never
 * end; their errors come as -1 with errno.
 *
 * PARITY: switches=50 threads=16 */
#include "parity.h"

#include <linux/futex.h>
#include <sys/epoll.h>
#include <sys/syscall.h>

static int ends[2], pair[2], listener, epoll_fd, word;

static void* write_later(void* argument) {
    wait_ticks(5);
    SAME(syscall(SYS_write, ends[1], "hi", 2), 2);
    return argument;
}

static void* send_later(void* argument) {
    wait_ticks(5);
    SAME(syscall(SYS_sendto, pair[1], "ho", 2, 0, NULL, 0), 2);
    return argument;
}

static void* connect_later(void* argument) {
    struct sockaddr_in address = loopback(port_of(listener));
    wait_ticks(5);
    int fd = (int)syscall(SYS_socket, AF_INET, SOCK_STREAM, 0);
    CHECK(fd >= 0);
    SAME(syscall(SYS_connect, fd, &address, sizeof address), 0);
    SAME(syscall(SYS_close, fd), 0);
    return argument;
}

static void* wake_later(void* argument) {
    wait_ticks(5);
    __atomic_store_n(&word, 1, __ATOMIC_SEQ_CST);
    SAME(syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0), 1);
    return argument;
}

/* The call, while another thread is about to release it. */
#define RELEASED(call, want, body)            \
    do {                                      \
        pthread_t thread = start(body, NULL); \
        SAME(call, want);                     \
        join(thread);                         \
        say("%s", #call);                     \
    } while (0)

static void drain(void) {
    char data[2];
    SAME(read(ends[0], data, sizeof data), 2);
}

static void* readers(void* argument) {
    char data[8], more[8];
    struct iovec parts[2] = {{data, 1}, {more, 7}};
    RELEASED(syscall(SYS_read, ends[0], data, sizeof data), 2, write_later);
    RELEASED(syscall(SYS_readv, ends[0], parts, 2), 2, write_later);
    SAME(more[0], 'i');
    RELEASED(preadv2(ends[0], parts, 2, -1, 0), 2, write_later);
    RELEASED(syscall(SYS_recvfrom, pair[0], data, sizeof data, 0, NULL, NULL), 2, send_later);
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    RELEASED(syscall(SYS_recvmsg, pair[0], &message, 0), 2, send_later);
    return argument;
}

static void* waiters(void* argument) {
    struct pollfd one = {ends[0], POLLIN, 0};
    struct epoll_event event;
    fd_set set;
    FD_ZERO(&set);
    FD_SET(ends[0], &set);
    RELEASED(syscall(SYS_poll, &one, 1, -1), 1, write_later);
    drain();
    RELEASED(syscall(SYS_ppoll, &one, 1, NULL, NULL, 8), 1, write_later);
    drain();
    RELEASED(syscall(SYS_select, ends[0] + 1, &set, NULL, NULL, NULL), 1, write_later);
    drain();
    RELEASED(syscall(SYS_epoll_wait, epoll_fd, &event, 1, -1), 1, write_later);
    drain();
    RELEASED(syscall(SYS_epoll_pwait, epoll_fd, &event, 1, -1, NULL, 8), 1, write_later);
    drain();
    return argument;
}

int main(void) {
    struct timespec time = timespec_ms(30), left;
    int status = 0;
    start_ticking();
    SAME(pipe(ends), 0);
    unix_pair(pair);
    epoll_fd = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN};
    SAME(epoll_ctl(epoll_fd, EPOLL_CTL_ADD, ends[0], &event), 0);
    join(start(readers, NULL));
    join(start(waiters, NULL));

    listener = tcp_listen(4);
    for (int i = 0; i < 2; i++) {
        pthread_t thread = start(connect_later, NULL);
        int fd = (int)(i == 0 ? syscall(SYS_accept, listener, NULL, NULL)
                              : syscall(SYS_accept4, listener, NULL, NULL, SOCK_CLOEXEC));
        CHECK(fd >= 0);
        SAME(fcntl(fd, F_GETFD), i == 0 ? 0 : FD_CLOEXEC);
        join(thread);
        SAME(close(fd), 0);
    }
    say("accept and accept4");

    pthread_t thread = start(wake_later, NULL);
    while (__atomic_load_n(&word, __ATOMIC_SEQ_CST) == 0) {
        long r = syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
        CHECK(r == 0 || errno == EAGAIN);
    }
    join(thread);
    say("futex");

    long before = ticks();
    double begin = now_ms();
    SAME(syscall(SYS_nanosleep, &time, &left), 0);
    TOOK(begin, 30);
    begin = now_ms();
    SAME(syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &time, &left), 0);
    TOOK(begin, 30);
    CHECK(ticks() > before);
    say("nanosleep and clock_nanosleep");

    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        usleep(50000);
        _exit(3);
    }
    before = ticks();
    SAME(syscall(SYS_wait4, child, &status, 0, NULL), child);
    SAME(WEXITSTATUS(status), 3);
    CHECK(ticks() > before);
    say("wait4");

    char text[] = "hi";
    struct iovec part = {text, 2};
    SAME(syscall(SYS_writev, ends[1], &part, 1), 2);
    SAME(pwritev2(ends[1], &part, 1, -1, 0), 2);
    drain();
    drain();
    struct timespec nonsense = {0, 2000000000};
    FAILS(syscall(SYS_read, -1, text, 1), EBADF);
    FAILS(syscall(SYS_nanosleep, &nonsense, NULL), EINVAL);
    FAILS(syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &nonsense, NULL), EINVAL);
    FAILS(syscall(SYS_wait4, child, NULL, 0, NULL), ECHILD);
    FAILS(syscall(SYS_accept, ends[0], NULL, NULL), ENOTSOCK);
    FAILS(syscall(-1), ENOSYS);
    say("errors");
    stop_ticking();
    return 0;
}
