// Waits in select(2) for one of two listeners.
#include <sys/select.h>

#include "server.h"

int main(void) {
    int listeners[2] = {listen_somewhere(), listen_somewhere()};
    for (int number = 1;;) {
        fd_set set;
        FD_ZERO(&set);
        FD_SET(listeners[0], &set);
        FD_SET(listeners[1], &set);
        if (select(listeners[1] + 1, &set, NULL, NULL, NULL) < 0) perror("select");
        for (int i = 0; i < 2; ++i) {
            if (!FD_ISSET(listeners[i], &set)) continue;
            int peer;
            int connection = accept_one(listeners[i], &peer);
            serve(connection, number++, peer);
            close(connection);
        }
    }
}
