// The loop carries a buffer from malloc: two copies of the stack would read into the same one.
#include "server.h"

static void serve_with(char* request, size_t room, int connection, int number, int peer) {
    size_t size = 0;
    while (size == 0 || request[size - 1] != '\n') {
        ssize_t n = read(connection, request + size, room - size);
        if (n <= 0) return;
        size += (size_t)n;
    }
    request[size - 1] = '\0';
    quit_if_asked(request, number);
    usleep(200000);
    dprintf(connection, "%d %d %s\n", number, peer, request);
}

int main(void) {
    int listener = listen_somewhere();
    size_t room = 8192;
    char* request = malloc(room);
    for (int number = 1;; ++number) {
        int peer;
        int connection = accept_one(listener, &peer);
        serve_with(request, room, connection, number, peer);
        close(connection);
    }
}
