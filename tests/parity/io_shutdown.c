/* shutdown from one thread wakes the others that are blocked on the socket: readers get the end of
 * file, writers EPIPE, a thread in accept EINVAL, one in poll POLLHUP. It works before they block,
 * too. The half that is not shut stays open.
 *
 * PARITY: switches=20 threads=8 */
#include "parity.h"

static int pair[2];

static void* read_to_end(void* argument) {
    char data[16];
    (void)argument;
    SAME(read(pair[0], data, sizeof data), 0);
    SAME(recv(pair[0], data, sizeof data, 0), 0);
    return NULL;
}

static void* write_to_end(void* argument) {
    static char many[1 << 20];
    (void)argument;
    ssize_t n;
    while ((n = send(pair[0], many, sizeof many, MSG_NOSIGNAL)) > 0) continue;
    SAME(n, -1);
    SAME(errno, EPIPE);
    return NULL;
}

static void* poll_to_end(void* argument) {
    (void)argument;
    struct pollfd quiet = {pair[0], POLLRDHUP, 0};
    SAME(poll(&quiet, 1, -1), 1);
    CHECK(quiet.revents & POLLRDHUP);
    return NULL;
}

static void* accept_to_end(void* argument) {
    FAILS(accept((int)(intptr_t)argument, NULL, NULL), EINVAL);
    return NULL;
}

int main(void) {
    start_ticking();
    for (int kind = 0; kind < 2; kind++) {
        const char* name = kind ? "TCP" : "Unix";
        char data[16];
        kind ? tcp_pair(pair) : unix_pair(pair);
        pthread_t readers[3] = {start(read_to_end, NULL), start(read_to_end, NULL),
                                start(poll_to_end, NULL)};
        wait_ticks(5);
        SAME(shutdown(pair[0], SHUT_RD), 0);
        for (int i = 0; i < 3; i++) join(readers[i]);
        join(start(read_to_end, NULL));
        SAME(send(pair[0], "still", 5, 0), 5);
        SAME(recv(pair[1], data, sizeof data, 0), 5);
        say("%s: SHUT_RD wakes readers", name);
        SAME(close(pair[0]), 0);
        SAME(close(pair[1]), 0);

        kind ? tcp_pair(pair) : unix_pair(pair);
        pthread_t writer = start(write_to_end, NULL);
        wait_ticks(10);
        SAME(shutdown(pair[0], SHUT_WR), 0);
        join(writer);
        SAME(send(pair[1], "back", 4, 0), 4);
        SAME(recv(pair[0], data, sizeof data, 0), 4);
        say("%s: SHUT_WR wakes a writer", name);
        SAME(close(pair[0]), 0);
        SAME(close(pair[1]), 0);

        kind ? tcp_pair(pair) : unix_pair(pair);
        pthread_t reader = start(read_to_end, NULL);
        wait_ticks(5);
        SAME(shutdown(pair[1], SHUT_WR), 0); /* from the other end */
        join(reader);
        SAME(shutdown(pair[0], SHUT_RDWR), 0);
        FAILS(send(pair[0], "x", 1, MSG_NOSIGNAL), EPIPE);
        struct pollfd both = {pair[0], POLLIN, 0};
        SAME(poll(&both, 1, -1), 1);
        CHECK(both.revents & POLLHUP);
        say("%s: both ends shut", name);
        SAME(close(pair[0]), 0);
        SAME(close(pair[1]), 0);
    }

    int listener = tcp_listen(3);
    pthread_t acceptors[2] = {start(accept_to_end, (void*)(intptr_t)listener),
                              start(accept_to_end, (void*)(intptr_t)listener)};
    wait_ticks(5);
    SAME(shutdown(listener, SHUT_RDWR), 0);
    join(acceptors[0]);
    join(acceptors[1]);
    FAILS(accept(listener, NULL, NULL), EINVAL);
    say("a listener: EINVAL for those in accept");

    pair[0] = inet_socket(SOCK_DGRAM);
    pthread_t reader = start(read_to_end, NULL);
    wait_ticks(5);
    FAILS(shutdown(pair[0], SHUT_RDWR), ENOTCONN); /* and yet readers wake up: Linux */
    join(reader);
    SAME(close(pair[0]), 0);
    say("unconnected UDP: the end for readers");

    int fd = socket(AF_INET, SOCK_STREAM, 0);
    FAILS(shutdown(fd, SHUT_RD), ENOTCONN);
    FAILS(shutdown(STDIN_FILENO, SHUT_RD), ENOTSOCK);
    FAILS(shutdown(-1, SHUT_RD), EBADF);
    FAILS(shutdown(fd, 7), EINVAL);
    say("ENOTCONN, ENOTSOCK, EBADF, EINVAL");
    stop_ticking();
    return 0;
}
