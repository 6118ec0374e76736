/* connect: refused, established, twice, non-blocking with poll and SO_ERROR, after failure; the
 * flags of the descriptor afterwards are what the program set.
 *
 * PARITY: switches=10 threads=2 */
#include "parity.h"

static int closed_port(void) {
    int fd = inet_socket(SOCK_STREAM);
    int port = port_of(fd);
    SAME(close(fd), 0);
    return port;
}

static int socket_error(int fd) {
    int error = -1;
    socklen_t length = sizeof error;
    SAME(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length), 0);
    return error;
}

static void* accept_late(void* argument) {
    int listener = (int)(intptr_t)argument;
    wait_ticks(3);
    for (int i = 0; i < 20; i++) {
        int fd = accept(listener, NULL, NULL);
        CHECK(fd >= 0);
        SAME(send(fd, "hello", 5, MSG_NOSIGNAL), 5);
        SAME(close(fd), 0);
    }
    return NULL;
}

int main(void) {
    start_ticking();
    struct sockaddr_in nobody = loopback(closed_port());
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    FAILS(connect(fd, (struct sockaddr*)&nobody, sizeof nobody), ECONNREFUSED);
    SAME(is_nonblocking(fd), 0);
    SAME(socket_error(fd), 0);
    say("refused");

    int listener = tcp_listen(20);
    struct sockaddr_in address = loopback(port_of(listener));
    pthread_t thread = start(accept_late, (void*)(intptr_t)listener);
    SAME(connect(fd, (struct sockaddr*)&address, sizeof address), 0); /* the same socket again */
    SAME(is_nonblocking(fd), 0);
    FAILS(connect(fd, (struct sockaddr*)&address, sizeof address), EISCONN);
    char word[8];
    SAME(recv(fd, word, 5, MSG_WAITALL), 5);
    SAME(close(fd), 0);
    say("established, EISCONN");

    for (int i = 1; i < 20; i++) {
        fd = socket(AF_INET, SOCK_STREAM | (i % 2 ? SOCK_NONBLOCK : 0), 0);
        errno = 0;
        int result = connect(fd, (struct sockaddr*)&address, sizeof address);
        CHECK(result == 0 || (i % 2 && errno == EINPROGRESS));
        SAME(is_nonblocking(fd), i % 2);
        struct pollfd ready = {fd, POLLOUT, 0};
        SAME(poll(&ready, 1, -1), 1);
        CHECK(ready.revents & POLLOUT);
        SAME(socket_error(fd), 0);
        ready.events = POLLIN;
        SAME(poll(&ready, 1, -1), 1);
        SAME(read(fd, word, sizeof word), 5);
        SAME(close(fd), 0);
    }
    join(thread);
    say("blocking and non-blocking by turns");

    fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    FAILS(connect(fd, (struct sockaddr*)&nobody, sizeof nobody), EINPROGRESS);
    struct pollfd ready = {fd, POLLOUT, 0};
    SAME(poll(&ready, 1, -1), 1);
    CHECK(ready.revents & POLLERR);
    SAME(socket_error(fd), ECONNREFUSED);
    SAME(socket_error(fd), 0);
    SAME(close(fd), 0);
    say("refused later");

    fd = socket(AF_INET, SOCK_STREAM, 0);
    FAILS(connect(fd, (struct sockaddr*)&address, 3), EINVAL);
    address.sin_family = 77;
    FAILS(connect(fd, (struct sockaddr*)&address, sizeof address), EAFNOSUPPORT);
    FAILS(connect(fd, (struct sockaddr*)bad_address(), sizeof address), EFAULT);
    FAILS(connect(-1, (struct sockaddr*)&address, sizeof address), EBADF);
    FAILS(connect(STDIN_FILENO, (struct sockaddr*)&address, sizeof address), ENOTSOCK);
    FAILS(send(fd, "x", 1, MSG_NOSIGNAL), EPIPE); /* never connected */
    FAILS(recv(fd, word, 1, 0), ENOTCONN);
    SAME(close(fd), 0);
    say("EINVAL, EAFNOSUPPORT, EFAULT, EBADF, ENOTSOCK, ENOTCONN");
    stop_ticking();
    return 0;
}
