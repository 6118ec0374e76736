// The textbook's iterative server: accept, serve, close, and again.
#include "server.h"

int main(void) {
    int listener = listen_somewhere();
    for (int number = 1;; ++number) {
        int peer;
        int connection = accept_one(listener, &peer);
        serve(connection, number, peer);
        close(connection);
    }
}
