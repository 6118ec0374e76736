// A server written by hand for epoll, as fast as one thread gets on it; echo_epoll.c and
// http_epoll.c say what it answers.
//
// Each connection is registered once, edge-triggered for both directions. A read shorter than the
// buffer has drained the socket, so no second read asks for EAGAIN (EPOLLRDHUP covers the one case
// where that would miss something: an end of stream right behind the last bytes). A request then
// costs one recv, one send and its share of one epoll_wait. One buffer serves all connections;
// bytes a peer does not take yet are set aside for it, and it isn't read from until they are gone.
//
// With --stacks each connection is served on a stack of its own, as large as a thread's and fetched
// into the cache while the one before it is served, and has its buffer there: what threads that
// switch in no time would cost. It tells what a bar against this server leaves to reach.
#pragma once

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "common.h"

enum { kBuffer = 4096, kEvents = 512 };

typedef struct {
    char* rest;  // what the peer has not taken yet, NULL mostly
    size_t size, sent;
    bool last;     // closed when that is gone
    char* partly;  // for the server: of a request that is not complete
    size_t partly_size;
} Connection;

// What is sent for the bytes that came: *answer_size bytes, which are read at once or copied. Sets
// c->last if the connection ends with them.
static const char* answer(Connection* c, char* bytes, size_t size, size_t* answer_size);

static Connection* connections;  // by descriptor
static int epoll;

static void end(int fd) {
    free(connections[fd].rest);
    free(connections[fd].partly);
    memset(&connections[fd], 0, sizeof *connections);
    close(fd);
}

// Returns how many bytes went out, or -1 for a connection which is over.
static ssize_t put(int fd, const char* bytes, size_t size) {
    size_t sent = 0;
    while (sent < size) {
        ssize_t n = send(fd, bytes + sent, size - sent, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN) break;
        if (n < 0) return -1;
        sent += (size_t)n;
    }
    return (ssize_t)sent;
}

static bool put_rest(int fd) {
    Connection* c = &connections[fd];
    ssize_t n = put(fd, c->rest + c->sent, c->size - c->sent);
    if (n < 0) return false;
    c->sent += (size_t)n;
    if (c->sent == c->size) {
        free(c->rest);
        c->rest = NULL;
    }
    return true;
}

static void keep_rest(Connection* c, const char* bytes, size_t size) {
    c->rest = malloc(size);
    if (!c->rest) die("malloc");
    memcpy(c->rest, bytes, size);
    c->size = size;
    c->sent = 0;
}

static void serve_with(char* buffer, int fd, uint32_t events) {
    Connection* c = &connections[fd];
    if (c->rest && !put_rest(fd)) return end(fd);
    bool to_the_end = events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR);
    while (!c->rest) {
        if (c->last) return end(fd);
        ssize_t n = recv(fd, buffer, kBuffer, 0);
        if (n < 0 && errno == EAGAIN) return;
        if (n <= 0) return end(fd);
        size_t size;
        const char* bytes = answer(c, buffer, (size_t)n, &size);
        ssize_t sent = put(fd, bytes, size);
        if (sent < 0) return end(fd);
        if ((size_t)sent < size) keep_rest(c, bytes + sent, size - (size_t)sent);
        if (n < kBuffer && !to_the_end && !c->last) return;
    }
}

static void serve(int fd, uint32_t events) {
    static char buffer[kBuffer];
    serve_with(buffer, fd, events);
}

static void serve_on_stack(int fd, uint32_t events) {
    char buffer[kBuffer];
    serve_with(buffer, fd, events);
}

// A stack for each descriptor: 8 MiB, and a gap that keeps their tops out of the same cache sets.
static char* stacks;
static const size_t kStack = (8 << 20) + 8192, kUsed = 3072, kColours = 8, kColour = 256;

static char* stack_top(int fd) {
    return stacks + kStack * (size_t)(fd + 1) - (size_t)fd % kColours * kColour;
}

static void make_stacks(size_t count) {
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    stacks = mmap(NULL, kStack * count, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (stacks == MAP_FAILED) die("mmap");
    madvise(stacks, kStack * count, MADV_NOHUGEPAGE);
}

static void fetch_stack(int fd) {
    char* buffer = stack_top(fd) - kBuffer;
    for (size_t back = 0; back < kUsed; back += 64) __builtin_prefetch(buffer - back);
}

static void switch_and_serve(int fd, uint32_t events) {
    register void* top __asm__("rbx") = stack_top(fd);
    __asm__ volatile(
        "xchgq %%rsp, %%rbx\n"
        "call *%3\n"
        "movq %%rbx, %%rsp\n"
        : "+r"(top), "+D"(fd), "+S"(events)
        : "r"(serve_on_stack)
        : "rax", "rcx", "rdx", "r8", "r9", "r10", "r11", "cc", "memory");
}

static void accept_all(int listener) {
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
        if (fd < 0) {
            if (errno == EAGAIN) return;
            if (errno == ECONNABORTED || errno == EINTR) continue;
            die("accept4");
        }
        struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                                    .data.fd = fd};
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0) die("epoll_ctl");
    }
}

// The whole program, but for its answers.
static int epoll_server(int argc, char** argv) {
    static const struct option options[] = {{"port", required_argument, NULL, 'p'},
                                            {"stacks", no_argument, NULL, 's'},
                                            {NULL, 0, NULL, 0}};
    int port = 0;
    bool own_stacks = false;
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (option) {
            case 'p':
                port = atoi(optarg);
                break;
            case 's':
                own_stacks = true;
                break;
            default:
                return 2;
        }
    }
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0) die("getrlimit");
    connections = calloc(limit.rlim_cur, sizeof *connections);
    if (!connections) die("calloc");
    if (own_stacks) make_stacks(limit.rlim_cur);

    // The listener is level-triggered: it is asked for everything each time, and costs nothing
    // idle.
    int listener = listen_on_loopback(port);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener};
    epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event) < 0) die("epoll");
    int on = 1;
    if (ioctl(listener, FIONBIO, &on) < 0) die("ioctl");

    static struct epoll_event events[kEvents];
    for (;;) {
        int count = epoll_wait(epoll, events, kEvents, -1);
        if (count < 0 && errno != EINTR) die("epoll_wait");
        for (int i = 0; i < count; i++) {
            int fd = events[i].data.fd;
            if (own_stacks && i + 1 < count) fetch_stack(events[i + 1].data.fd);
            if (fd == listener) {
                accept_all(listener);
            } else if (events[i].events != EPOLLOUT || connections[fd].rest) {
                (own_stacks ? switch_and_serve : serve)(fd, events[i].events);
            }
        }
    }
}
