// A TCP echo server as textbooks write it: a loop around accept, one detached thread for each
// connection, blocking reads and writes. This is the program whose throughput is compared, once
// as it is and once with its threads made green; so it does nothing clever, and nothing twice.
//
//     echo_threads [--port N] [--stack KIB] [--read-write] [--work N]
//
// --stack 0 takes the default attributes; servers meant for many connections ask for small stacks,
// hence the default of 64 KiB. --read-write calls read and write where recv and send are the
// default. --work computes for N steps, about a nanosecond each, before every answer.
#define _GNU_SOURCE
#include <errno.h>
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>

#include "common.h"

static bool read_write;
static uint64_t work;

static void compute(void) {
    volatile uint64_t result;
    uint64_t x = 88172645463325252u;
    for (uint64_t i = 0; i < work; ++i) {
        x ^= x << 13;
        x ^= x >> 7;
    }
    result = x;
    (void)result;
}

static ssize_t get(int fd, char* buffer, size_t size) {
    return read_write ? read(fd, buffer, size) : recv(fd, buffer, size, 0);
}

static ssize_t put(int fd, const char* buffer, size_t size) {
    return read_write ? write(fd, buffer, size) : send(fd, buffer, size, 0);
}

static bool put_all(int fd, const char* buffer, size_t size) {
    while (size > 0) {
        ssize_t n = put(fd, buffer, size);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return false;
        buffer += n;
        size -= (size_t)n;
    }
    return true;
}

static void* serve(void* argument) {
    int fd = (int)(intptr_t)argument;
    char buffer[4096];
    for (;;) {
        ssize_t n = get(fd, buffer, sizeof buffer);
        if (n < 0 && errno == EINTR) continue;
        if (work > 0) compute();
        if (n <= 0 || !put_all(fd, buffer, (size_t)n)) break;
    }
    close(fd);
    return NULL;
}

int main(int argc, char** argv) {
    static const struct option options[] = {{"port", required_argument, NULL, 'p'},
                                            {"stack", required_argument, NULL, 's'},
                                            {"read-write", no_argument, NULL, 'r'},
                                            {"work", required_argument, NULL, 'w'},
                                            {NULL, 0, NULL, 0}};
    int port = 0;
    size_t stack_kib = 64;
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (option) {
            case 'p':
                port = atoi(optarg);
                break;
            case 's':
                stack_kib = strtoul(optarg, NULL, 10);
                break;
            case 'r':
                read_write = true;
                break;
            case 'w':
                work = strtoull(optarg, NULL, 10);
                break;
            default:
                return 2;
        }
    }
    signal(SIGPIPE, SIG_IGN);

    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    if (stack_kib > 0 && (errno = pthread_attr_setstacksize(&attributes, stack_kib * 1024)) != 0)
        die("pthread_attr_setstacksize");

    int listener = listen_on_loopback(port);
    for (;;) {
        int fd = accept(listener, NULL, NULL);
        if (fd < 0) {
            if (errno == EINTR || errno == ECONNABORTED) continue;
            die("accept");
        }
        pthread_t thread;
        if ((errno = pthread_create(&thread, &attributes, serve, (void*)(intptr_t)fd)) != 0) {
            perror("pthread_create");
            close(fd);
        }
    }
}
