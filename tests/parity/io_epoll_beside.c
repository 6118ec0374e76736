/* The program's own epoll loop in one thread beside threads that block: level and edge triggered,
 * one-shot, timeouts, an epoll descriptor inside poll and inside another epoll; the program's sets
 * hold what the program put in and nothing else.
 *
 * PARITY: switches=20 threads=6 */
#include "parity.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>

enum { CLIENTS = 4, ROUNDS = 20 };

static long served;

/* A small event-driven echo server: the last client's end stops it. */
static void* event_loop(void* argument) {
    int listener = (int)(intptr_t)argument, left = CLIENTS;
    int set = epoll_create1(0);
    struct epoll_event event = {EPOLLIN, {0}}, events[8];
    set_nonblocking(listener, 1);
    event.data.fd = listener;
    SAME(epoll_ctl(set, EPOLL_CTL_ADD, listener, &event), 0);
    while (left > 0) {
        int count = epoll_wait(set, events, 8, -1);
        CHECK(count >= 1 && count <= 8);
        for (int i = 0; i < count; i++) {
            int fd = events[i].data.fd;
            if (fd == listener) {
                int client = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
                CHECK(client >= 0 || errno == EAGAIN);
                if (client < 0) continue;
                event.events = EPOLLIN | EPOLLET;
                event.data.fd = client;
                SAME(epoll_ctl(set, EPOLL_CTL_ADD, client, &event), 0);
                continue;
            }
            char data[64];
            ssize_t n;
            while ((n = read(fd, data, sizeof data)) > 0) {
                SAME(write(fd, data, (size_t)n), n);
                add_to(&served, n);
            }
            if (n == 0) {
                SAME(close(fd), 0);
                left--;
            } else {
                SAME(errno, EAGAIN);
            }
        }
    }
    SAME(close(set), 0);
    return NULL;
}

static void* blocking_client(void* argument) {
    int fd = tcp_connect((int)(intptr_t)argument);
    for (int i = 0; i < ROUNDS; i++) {
        char data[10];
        if (i % 5 == 0) wait_ticks(1);
        SAME(write(fd, "0123456789", 10), 10);
        SAME(read_all(fd, data, 10), 10);
    }
    SAME(shutdown(fd, SHUT_WR), 0);
    char byte;
    SAME(read(fd, &byte, 1), 0);
    SAME(close(fd), 0);
    return NULL;
}

static void* post_soon(void* argument) {
    wait_ticks(4);
    SAME(eventfd_write((int)(intptr_t)argument, 1), 0);
    return NULL;
}

int main(void) {
    start_ticking();
    int listener = tcp_listen(CLIENTS);
    pthread_t loop = start(event_loop, (void*)(intptr_t)listener), clients[CLIENTS];
    for (int i = 0; i < CLIENTS; i++)
        clients[i] = start(blocking_client, (void*)(intptr_t)port_of(listener));
    for (int i = 0; i < CLIENTS; i++) join(clients[i]);
    join(loop);
    say("%ld bytes served", value_of(&served));

    int set = epoll_create1(0), outer = epoll_create1(0), fd = eventfd(0, 0);
    struct epoll_event event = {EPOLLIN | EPOLLONESHOT, {0}}, got[4];
    SAME(epoll_wait(set, got, 4, 0), 0);
    double begun = now_ms();
    long before = ticks();
    SAME(epoll_wait(set, got, 4, 80), 0);
    CHECK(now_ms() - begun >= 80);
    CHECK(ticks() > before);
    event.data.u64 = 1234567890123;
    SAME(epoll_ctl(set, EPOLL_CTL_ADD, fd, &event), 0);
    FAILS(epoll_ctl(set, EPOLL_CTL_ADD, fd, &event), EEXIST);
    pthread_t thread = start(post_soon, (void*)(intptr_t)fd);
    SAME(epoll_wait(set, got, 4, -1), 1);
    SAME(got[0].data.u64, 1234567890123);
    SAME(got[0].events, EPOLLIN);
    join(thread);
    SAME(epoll_wait(set, got, 4, 0), 0); /* one shot */
    SAME(epoll_ctl(set, EPOLL_CTL_MOD, fd, &event), 0);
    sigset_t none;
    sigemptyset(&none);
    SAME(epoll_pwait(set, got, 4, -1, &none), 1);
    eventfd_t number;
    SAME(eventfd_read(fd, &number), 0);
    say("timeouts, one-shot");

    event.events = EPOLLIN;
    SAME(epoll_ctl(set, EPOLL_CTL_MOD, fd, &event), 0);
    SAME(epoll_ctl(outer, EPOLL_CTL_ADD, set, &event), 0);
    thread = start(post_soon, (void*)(intptr_t)fd);
    struct pollfd nested = {outer, POLLIN, 0};
    SAME(poll(&nested, 1, -1), 1);
    SAME(epoll_wait(outer, got, 4, -1), 1);
    SAME(epoll_wait(set, got, 4, -1), 1);
    join(thread);
    SAME(epoll_ctl(set, EPOLL_CTL_DEL, fd, NULL), 0);
    FAILS(epoll_ctl(set, EPOLL_CTL_DEL, fd, NULL), ENOENT);
    SAME(poll(&nested, 1, 0), 0);
    FAILS(epoll_wait(set, got, 0, 0), EINVAL);
    FAILS(epoll_wait(fd, got, 4, 0), EINVAL);
    FAILS(epoll_wait(-1, got, 4, 0), EBADF);
    int file = open("/proc/self/exe", O_RDONLY);
    FAILS(epoll_ctl(set, EPOLL_CTL_ADD, file, &event), EPERM);
    say("nested, and the errors");
    stop_ticking();
    return 0;
}
