// What the servers of this folder share: a listener on a free port, which they tell, and the
// conversation. The client sends a line, waits at least 200 ms, and gets
//
//     <number of the connection, by the loop's own count> <the client's port> <the line>
//
// "quit" ends the server by exit(3), which first says how many connections it knows of.
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static inline int listen_somewhere(void) {
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address;
    socklen_t size = sizeof address;
    int yes = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(listener, (struct sockaddr*)&address, size) != 0 || listen(listener, 1024) != 0) {
        perror("listen");
        exit(1);
    }
    getsockname(listener, (struct sockaddr*)&address, &size);
    printf("port %d\n", ntohs(address.sin_port));
    fflush(stdout);
    return listener;
}

static inline int accept_one(int listener, int* peer_port) {
    struct sockaddr_in peer;
    socklen_t size = sizeof peer;
    int connection = accept(listener, (struct sockaddr*)&peer, &size);
    if (connection < 0 && errno != EAGAIN) {
        perror("accept");
        exit(1);
    }
    if (size != sizeof peer) printf("a peer of %d bytes\n", (int)size);
    *peer_port = ntohs(peer.sin_port);
    return connection;
}

static inline void quit_if_asked(const char* request, int number) {
    if (strcmp(request, "quit") != 0) return;
    printf("quit after %d\n", number);
    exit(0);
}

static inline void serve(int connection, int number, int peer) {
    char request[4096], answer[5000];
    size_t size = 0;
    char* end;
    for (;;) {
        ssize_t n = read(connection, request + size, sizeof request - 1 - size);
        if (n <= 0) return;
        size += (size_t)n;
        request[size] = '\0';
        end = strchr(request, '\n');
        if (end != NULL) break;
    }
    *end = '\0';
    quit_if_asked(request, number);
    usleep(200000);
    int length = snprintf(answer, sizeof answer, "%d %d %s\n", number, peer, request);
    if (write(connection, answer, (size_t)length) != length) perror("write");
}
