/* A listener that was non-blocking for a while: poll reports a connection, accept takes it, and
 * then fcntl makes the listener blocking again. The next accept has to wait like any other, and
 * stops nobody: the thread that will connect sleeps and ticks first. The same for a datagram
 * socket and recv.
 *
 * PARITY: switches=20 threads=5 */
#include "parity.h"

static int port;

static void* connect_later(void* argument) {
    (void)argument;
    wait_ticks(20);
    int fd = tcp_connect(port);
    char byte;
    SAME(read(fd, &byte, 1), 0);
    SAME(close(fd), 0);
    return NULL;
}

static void* send_later(void* argument) {
    struct sockaddr_in address = loopback(port);
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    wait_ticks(20);
    SAME(sendto(fd, "datagram", 8, 0, (struct sockaddr*)&address, sizeof address), 8);
    SAME(close(fd), 0);
    return argument;
}

static void wait_readable(int fd) {
    struct pollfd one = {fd, POLLIN, 0};
    SAME(poll(&one, 1, -1), 1);
    SAME(one.revents, POLLIN);
}

static void take(int listener) {
    int fd = accept(listener, NULL, NULL);
    CHECK(fd >= 0);
    SAME(is_nonblocking(fd), 0);
    SAME(close(fd), 0);
}

int main(void) {
    start_ticking();
    int listener = tcp_listen(8);
    port = port_of(listener);
    for (int round = 0; round < 3; round++) {
        set_nonblocking(listener, 1);
        FAILS(accept(listener, NULL, NULL), EAGAIN);
        pthread_t thread = start(connect_later, NULL);
        wait_readable(listener);
        take(listener);
        join(thread);
        if (round != 1) FAILS(accept(listener, NULL, NULL), EAGAIN);
        set_nonblocking(listener, 0);
        thread = start(connect_later, NULL);
        take(listener);
        join(thread);
        say("accept, round %d", round);
    }
    SAME(close(listener), 0);

    int fd = inet_socket(SOCK_DGRAM);
    port = port_of(fd);
    char data[16];
    for (int round = 0; round < 3; round++) {
        set_nonblocking(fd, 1);
        pthread_t thread = start(send_later, NULL);
        wait_readable(fd);
        SAME(recv(fd, data, sizeof data, 0), 8);
        join(thread);
        set_nonblocking(fd, 0);
        thread = start(send_later, NULL);
        SAME(recv(fd, data, sizeof data, 0), 8);
        join(thread);
        say("recv, round %d", round);
    }
    SAME(close(fd), 0);
    stop_ticking();
    return 0;
}
