// echo_threads.c for GNU Pth: a thread of Pth's for each connection, Pth's own calls.
#define _GNU_SOURCE
#include <errno.h>
#include <pth.h>
#include <signal.h>

#include "../common.h"

static void* serve(void* argument) {
    int fd = (int)(intptr_t)argument;
    char buffer[4096];
    for (ssize_t n; (n = pth_recv(fd, buffer, sizeof buffer, 0)) > 0;)
        if (pth_send(fd, buffer, (size_t)n, 0) != n) break;
    close(fd);
    return NULL;
}

int main(void) {
    signal(SIGPIPE, SIG_IGN);
    if (!pth_init()) die("pth_init");
    pth_attr_t attributes = pth_attr_new();
    pth_attr_set(attributes, PTH_ATTR_JOINABLE, 0);
    pth_attr_set(attributes, PTH_ATTR_STACK_SIZE, 64 * 1024);
    int listener = listen_on_loopback(0);
    for (;;) {
        int fd = pth_accept(listener, NULL, NULL);
        if (fd < 0) die("pth_accept");
        if (!pth_spawn(attributes, serve, (void*)(intptr_t)fd)) die("pth_spawn");
    }
}
