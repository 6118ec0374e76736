/* A thread-per-connection echo server and its clients, all in one process, in the textbook manner:
 * blocking accept, connect, read and write in 81 threads. Each client speaks in a random rhythm and
 * checks every byte; the server's side closes at end of file.
 *
 * PARITY: switches=1000 threads=81 */
#include "parity.h"

enum { CLIENTS = 40, ROUNDS = 30, LONGEST = 3000 };

static int port;

static void* serve(void* argument) {
    int fd = (int)(intptr_t)argument, now = 1;
    SAME(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &now, sizeof now), 0);
    char data[1000];
    long total = 0;
    for (ssize_t n; (n = read(fd, data, sizeof data)) != 0; total += n) {
        CHECK(n > 0);
        write_all(fd, data, (size_t)n);
    }
    SAME(close(fd), 0);
    return (void*)total;
}

static void* speak(void* argument) {
    unsigned seed = (unsigned)(uintptr_t)argument;
    int fd = tcp_connect(port);
    int now = 1;
    SAME(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &now, sizeof now), 0);
    size_t position = 0;
    char data[LONGEST];
    for (int round = 0; round < ROUNDS; round++) {
        size_t size = 1 + (seed * 7919u + (unsigned)round * 104729u) % LONGEST;
        fill_pattern(data, size, position, seed);
        write_all(fd, data, size);
        memset(data, 0, size);
        SAME(read_all(fd, data, size), size);
        CHECK(is_pattern(data, size, position, seed));
        position += size;
    }
    SAME(shutdown(fd, SHUT_WR), 0);
    SAME(read(fd, data, sizeof data), 0);
    SAME(close(fd), 0);
    return (void*)position;
}

static void* accept_all(void* argument) {
    int listener = (int)(intptr_t)argument;
    pthread_t servers[CLIENTS];
    long total = 0;
    for (int i = 0; i < CLIENTS; i++) {
        struct sockaddr_in peer;
        socklen_t length = sizeof peer;
        int fd = accept(listener, (struct sockaddr*)&peer, &length);
        CHECK(fd >= 0);
        SAME(length, sizeof peer);
        SAME(peer.sin_family, AF_INET);
        SAME(ntohl(peer.sin_addr.s_addr), INADDR_LOOPBACK);
        servers[i] = start(serve, (void*)(intptr_t)fd);
    }
    for (int i = 0; i < CLIENTS; i++) total += (long)join(servers[i]);
    return (void*)total;
}

int main(void) {
    int listener = tcp_listen(CLIENTS);
    port = port_of(listener);
    pthread_t acceptor = start(accept_all, (void*)(intptr_t)listener);
    pthread_t clients[CLIENTS];
    long sent = 0;
    for (int i = 0; i < CLIENTS; i++) clients[i] = start(speak, (void*)(uintptr_t)(i + 1));
    for (int i = 0; i < CLIENTS; i++) sent += (long)join(clients[i]);
    SAME((long)join(acceptor), sent);
    say("%d clients, %ld bytes there and back", CLIENTS, sent);
    return 0;
}
