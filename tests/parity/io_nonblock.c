/* O_NONBLOCK belongs to the program. However it was set (fcntl, FIONBIO, SOCK_NONBLOCK, pipe2, on a
 * duplicate), an empty or full descriptor says EAGAIN at once, also when it was used blocking a
 * moment before; and blocking again it waits again. While a thread is blocked on a descriptor, its
 * flags show what the program set.
 *
 * PARITY: switches=50 threads=20 */
#include "parity.h"

#include <sys/eventfd.h>

enum { KINDS = 4 };
static const char* const names[KINDS] = {"pipe", "Unix", "TCP", "UDP"};
static int ends[2];

static void make(int kind) {
    if (kind == 0) SAME(pipe(ends), 0);
    if (kind == 1) unix_pair(ends);
    if (kind == 2) tcp_pair(ends);
    if (kind == 3) {
        for (int i = 0; i < 2; i++) ends[i] = inet_socket(SOCK_DGRAM);
        struct sockaddr_in address = loopback(port_of(ends[0]));
        SAME(connect(ends[1], (struct sockaddr*)&address, sizeof address), 0);
    }
}

static void* read_one(void* argument) {
    char byte = 0;
    (void)argument;
    SAME(read(ends[0], &byte, 1), 1);
    return (void*)(intptr_t)byte;
}

/* A blocking read really blocks, and the flag is the program's meanwhile. */
static void reads_blocking(void) {
    pthread_t thread = start(read_one, NULL);
    for (int i = 0; i < 5; i++) {
        wait_ticks(1);
        SAME(is_nonblocking(ends[0]), 0);
        SAME(is_nonblocking(ends[1]), 0);
    }
    SAME(write(ends[1], "b", 1), 1);
    SAME((intptr_t)join(thread), 'b');
}

/* None of this may wait: nobody would end it. */
static void reads_nothing(void) {
    char byte;
    SAME(is_nonblocking(ends[0]), 1);
    FAILS(read(ends[0], &byte, 1), EAGAIN);
    struct iovec piece = {&byte, 1};
    FAILS(readv(ends[0], &piece, 1), EAGAIN);
    SAME(write(ends[1], "n", 1), 1);
    struct pollfd ready = {ends[0], POLLIN, 0};
    SAME(poll(&ready, 1, -1), 1);
    SAME(read(ends[0], &byte, 1), 1);
    FAILS(read(ends[0], &byte, 1), EAGAIN);
}

static void all_ways(int kind) {
    int on = 1, off = 0;
    make(kind);
    reads_blocking();
    set_nonblocking(ends[0], 1);
    reads_nothing();
    set_nonblocking(ends[0], 0);
    reads_blocking();
    say("%s: fcntl", names[kind]);
    SAME(ioctl(ends[0], FIONBIO, &on), 0);
    reads_nothing();
    SAME(ioctl(ends[0], FIONBIO, &off), 0);
    reads_blocking();
    say("%s: FIONBIO", names[kind]);
    int copy = dup(ends[0]);
    set_nonblocking(copy, 1);
    reads_nothing();
    SAME(ioctl(copy, FIONBIO, &off), 0);
    reads_blocking();
    int other = fcntl(ends[0], F_DUPFD_CLOEXEC, 100);
    CHECK(other >= 100);
    SAME(ioctl(other, FIONBIO, &on), 0);
    reads_nothing();
    set_nonblocking(other, 0);
    reads_blocking();
    SAME(close(copy), 0);
    SAME(close(other), 0);
    say("%s: on a duplicate", names[kind]);
    SAME(close(ends[0]), 0);
    SAME(close(ends[1]), 0);
}

static void born_nonblocking(void) {
    SAME(pipe2(ends, O_NONBLOCK), 0);
    reads_nothing();
    CHECK(fill_up(ends[1]) > 0);
    FAILS(write(ends[1], "x", 1), EAGAIN);
    SAME(close(ends[0]), 0);
    SAME(close(ends[1]), 0);
    for (int type = SOCK_STREAM; type <= SOCK_DGRAM; type++) {
        SAME(socketpair(AF_UNIX, type | SOCK_NONBLOCK, 0, ends), 0);
        reads_nothing();
        CHECK(fill_up(ends[1]) > 0);
        FAILS(write(ends[1], "x", 1), EAGAIN);
        FAILS(send(ends[1], "x", 1, 0), EAGAIN);
        SAME(close(ends[0]), 0);
        SAME(close(ends[1]), 0);
    }
    ends[0] = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    char byte;
    FAILS(recv(ends[0], &byte, 1, 0), EAGAIN);
    FAILS(recv(ends[0], &byte, 1, MSG_WAITALL), EAGAIN);
    FAILS(recvfrom(ends[0], &byte, 1, 0, NULL, NULL), EAGAIN);
    SAME(close(ends[0]), 0);
    uint64_t number = 0;
    int counter = eventfd(0, EFD_NONBLOCK);
    FAILS(read(counter, &number, 8), EAGAIN);
    SAME(close(counter), 0);
    say("pipe2, socketpair, socket, eventfd");
}

int main(void) {
    start_ticking();
    for (int kind = 0; kind < KINDS; kind++) all_ways(kind);
    born_nonblocking();
    stop_ticking();
    return 0;
}
