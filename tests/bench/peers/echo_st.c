// echo_threads.c for State Threads, on epoll: a thread of theirs for each connection.
#define _GNU_SOURCE
#include <signal.h>
#include <st.h>

#include "../common.h"

static void* serve(void* argument) {
    st_netfd_t fd = argument;
    char buffer[4096];
    for (ssize_t n; (n = st_read(fd, buffer, sizeof buffer, ST_UTIME_NO_TIMEOUT)) > 0;)
        if (st_write(fd, buffer, (size_t)n, ST_UTIME_NO_TIMEOUT) != n) break;
    st_netfd_close(fd);
    return NULL;
}

int main(void) {
    signal(SIGPIPE, SIG_IGN);
    if (st_set_eventsys(ST_EVENTSYS_ALT) < 0 || st_init() < 0) die("st_init");
    st_netfd_t listener = st_netfd_open_socket(listen_on_loopback(0));
    for (;;) {
        st_netfd_t fd = st_accept(listener, NULL, NULL, ST_UTIME_NO_TIMEOUT);
        if (!fd) die("st_accept");
        if (!st_thread_create(serve, fd, 0, 64 * 1024)) die("st_thread_create");
    }
}
