/* accept and accept4: blocked until another thread connects; several threads blocked in accept on
 * one listener each get one connection; flags of the new descriptor; a non-blocking listener;
 * SO_RCVTIMEO on a listener; the errors.
 *
 * PARITY: switches=10 threads=12 */
#include "parity.h"

enum { WAITERS = 8 };

static int listener;

static void* accept_one(void* argument) {
    (void)argument;
    int fd = accept(listener, NULL, NULL);
    CHECK(fd >= 0);
    char id = 0;
    SAME(read(fd, &id, 1), 1);
    SAME(close(fd), 0);
    return (void*)(intptr_t)id;
}

static void* connect_soon(void* argument) {
    wait_ticks(3);
    int fd = tcp_connect(port_of(listener));
    char id = (char)(intptr_t)argument;
    SAME(write(fd, &id, 1), 1);
    return (void*)(intptr_t)fd;
}

static void many_waiters(void) {
    pthread_t waiters[WAITERS];
    int seen[WAITERS] = {0};
    for (int i = 0; i < WAITERS; i++) waiters[i] = start(accept_one, NULL);
    for (int i = 0; i < WAITERS; i++)
        SAME(close((int)(intptr_t)join(start(connect_soon, (void*)(intptr_t)i))), 0);
    for (int i = 0; i < WAITERS; i++) seen[(intptr_t)join(waiters[i])]++;
    for (int i = 0; i < WAITERS; i++) SAME(seen[i], 1);
    say("%d threads in accept got one connection each", WAITERS);
}

static int accept_with(int flags) {
    pthread_t thread = start(connect_soon, NULL);
    struct sockaddr_in peer;
    socklen_t length = sizeof peer;
    int fd = accept4(listener, (struct sockaddr*)&peer, &length, flags);
    CHECK(fd >= 0);
    int client = (int)(intptr_t)join(thread);
    SAME(ntohs(peer.sin_port), port_of(client));
    SAME(close(client), 0);
    return fd;
}

int main(void) {
    start_ticking();
    listener = tcp_listen(WAITERS);
    many_waiters();

    int fd = accept_with(0);
    SAME(is_nonblocking(fd), 0);
    SAME(fcntl(fd, F_GETFD), 0);
    SAME(close(fd), 0);
    fd = accept_with(SOCK_NONBLOCK | SOCK_CLOEXEC);
    SAME(is_nonblocking(fd), 1);
    SAME(fcntl(fd, F_GETFD), FD_CLOEXEC);
    char byte;
    SAME(read(fd, &byte, 1), 1);
    SAME(read(fd, &byte, 1), 0);
    SAME(close(fd), 0);
    say("flags of accept4");

    set_nonblocking(listener, 1);
    FAILS(accept(listener, NULL, NULL), EAGAIN);
    int client = (int)(intptr_t)join(start(connect_soon, NULL));
    fd = accept(listener, NULL, NULL);
    CHECK(fd >= 0);
    SAME(is_nonblocking(fd), 0); /* not inherited */
    SAME(read(fd, &byte, 1), 1);
    FAILS(recv(fd, &byte, 1, MSG_DONTWAIT), EAGAIN);
    SAME(close(fd), 0);
    SAME(close(client), 0);
    set_nonblocking(listener, 0);
    say("a non-blocking listener");

    struct timeval wait = timeval_ms(120);
    SAME(setsockopt(listener, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait), 0);
    double begun = now_ms();
    long before = ticks();
    FAILS(accept(listener, NULL, NULL), EAGAIN);
    TOOK(begun, 120);
    CHECK(ticks() > before);
    say("SO_RCVTIMEO on a listener");

    int plain = inet_socket(SOCK_STREAM);
    FAILS(accept(plain, NULL, NULL), EINVAL);
    int file = open("/dev/null", O_RDWR);
    FAILS(accept(file, NULL, NULL), ENOTSOCK);
    SAME(close(file), 0);
    FAILS(accept(file, NULL, NULL), EBADF);
    FAILS(accept(-1, NULL, NULL), EBADF);
    say("EINVAL, ENOTSOCK, EBADF");
    stop_ticking();
    return 0;
}
