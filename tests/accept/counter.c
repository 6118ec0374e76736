// Counts all connections in a static variable: any number of flows may do that.
#include "server.h"

static long total;

int main(void) {
    int listener = listen_somewhere();
    for (;;) {
        int peer;
        int connection = accept_one(listener, &peer);
        serve(connection, (int)++total, peer);
        close(connection);
    }
}
