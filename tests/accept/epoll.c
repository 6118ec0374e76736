// Waits in epoll_wait(2) for the listener and for a pipe that a signal handler could write to.
#include <sys/epoll.h>

#include "server.h"

int main(void) {
    int listener = listen_somewhere(), set = epoll_create1(0), wake[2];
    struct epoll_event event = {.events = EPOLLIN, .data = {.fd = listener}};
    if (pipe(wake) != 0) return 1;
    epoll_ctl(set, EPOLL_CTL_ADD, listener, &event);
    event.data.fd = wake[0];
    epoll_ctl(set, EPOLL_CTL_ADD, wake[0], &event);
    for (int number = 1;;) {
        struct epoll_event ready[8];
        int count = epoll_wait(set, ready, 8, -1);
        for (int i = 0; i < count; ++i) {
            if (ready[i].data.fd != listener) continue;
            int peer;
            int connection = accept_one(listener, &peer);
            serve(connection, number++, peer);
            close(connection);
        }
    }
}
