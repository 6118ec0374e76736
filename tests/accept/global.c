// What is known about a connection lies in static variables: the request, and who sent it.
#include "server.h"

static char the_request[2048];
static int the_connection, the_peer, served;

static void answer(void) {
    size_t size = 0;
    while (size == 0 || the_request[size - 1] != '\n') {
        ssize_t n = read(the_connection, the_request + size, sizeof the_request - size);
        if (n <= 0) return;
        size += (size_t)n;
    }
    the_request[size - 1] = '\0';
    quit_if_asked(the_request, served + 1);
    usleep(200000);
    dprintf(the_connection, "%d %d %s\n", ++served, the_peer, the_request);
}

int main(void) {
    int listener = listen_somewhere();
    for (;;) {
        the_connection = accept_one(listener, &the_peer);
        answer();
        close(the_connection);
    }
}
