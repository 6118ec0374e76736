// Waits in poll(2) with a time-out and does something else now and then; the listener does not
// block, and after poll all connections there are get accepted.
#include <fcntl.h>
#include <poll.h>

#include "server.h"

int main(void) {
    int listener = listen_somewhere();
    fcntl(listener, F_SETFL, O_NONBLOCK);
    int idle = 0;
    for (int number = 1;;) {
        struct pollfd p = {listener, POLLIN, 0};
        if (poll(&p, 1, 100) == 0) {
            ++idle;
            continue;
        }
        int peer, connection;
        while ((connection = accept_one(listener, &peer)) >= 0) {
            serve(connection, number++, peer);
            close(connection);
        }
    }
}
