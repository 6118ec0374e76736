/* errno is each thread's own and no successful call touches it: not one that waited, not one that
 * timed out with a plain result; and a failing call in one thread does not show in another.
 *
 * PARITY: switches=100 threads=7 */
#include "parity.h"

#include <netdb.h>

enum { ODD = 123456 };

static int pair[2];

#define UNTOUCHED(call)                                                                      \
    do {                                                                                     \
        errno = ODD;                                                                         \
        call;                                                                                \
        if (errno != ODD) parity_fail(__FILE__, __LINE__, "%s left errno %d", #call, errno); \
    } while (0)

static void* feed(void* argument) {
    for (int i = 0; i < (int)(intptr_t)argument; i++) {
        wait_ticks(2);
        SAME(write(pair[1], "x", 1), 1);
    }
    return NULL;
}

static void* fail_often(void* argument) {
    int way = (int)(intptr_t)argument;
    for (int i = 0; i < 100; i++) {
        char byte;
        if (way == 0) FAILS(read(-1, &byte, 1), EBADF);
        if (way == 1) FAILS(recv(STDIN_FILENO, &byte, 1, 0), ENOTSOCK);
        if (way == 2) FAILS(recv(pair[1], &byte, 1, MSG_DONTWAIT), EAGAIN);
        int error = errno;
        usleep(200);
        SAME(errno, error);
    }
    return NULL;
}

int main(void) {
    start_ticking();
    char byte;
    unix_pair(pair);
    pthread_t failing[3];
    for (int i = 0; i < 3; i++) failing[i] = start(fail_often, (void*)(intptr_t)i);
    pthread_t feeder = start(feed, (void*)6);
    UNTOUCHED(SAME(read(pair[0], &byte, 1), 1));
    UNTOUCHED(SAME(recv(pair[0], &byte, 1, 0), 1));
    struct iovec piece = {&byte, 1};
    UNTOUCHED(SAME(readv(pair[0], &piece, 1), 1));
    struct pollfd ready = {pair[0], POLLIN, 0};
    UNTOUCHED(SAME(poll(&ready, 1, -1), 1));
    UNTOUCHED(SAME(read(pair[0], &byte, 1), 1));
    fd_set in;
    FD_ZERO(&in);
    FD_SET(pair[0], &in);
    UNTOUCHED(SAME(select(pair[0] + 1, &in, NULL, NULL, NULL), 1));
    UNTOUCHED(SAME(recv(pair[0], &byte, 1, MSG_WAITALL), 1));
    UNTOUCHED(SAME(recv(pair[0], &byte, 1, MSG_WAITALL), 1));
    join(feeder);
    say("receiving and polling");

    UNTOUCHED(SAME(poll(&ready, 1, 10), 0));
    UNTOUCHED(usleep(2000));
    UNTOUCHED(SAME(sleep(0), 0));
    UNTOUCHED(sleep_ms(5));
    UNTOUCHED(sched_yield());
    struct timespec pause = timespec_ms(3);
    UNTOUCHED(SAME(clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, NULL), 0));
    pause.tv_nsec = -1;
    UNTOUCHED(SAME(clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, NULL), EINVAL));
    say("timeouts and sleeps");

    int listener = tcp_listen(3), port = port_of(listener), fd, other;
    UNTOUCHED(fd = tcp_connect(port));
    UNTOUCHED(other = accept(listener, NULL, NULL));
    static char many[1 << 20];
    pthread_t thread = start(feed, (void*)0);
    UNTOUCHED(SAME(send(fd, many, 1000, 0), 1000));
    UNTOUCHED(SAME(shutdown(fd, SHUT_WR), 0));
    UNTOUCHED(SAME(read_all(other, many, sizeof many), 1000));
    UNTOUCHED(SAME(close(fd), 0));
    UNTOUCHED(SAME(close(other), 0));
    join(thread);
    say("a connection");

    pid_t child = fork();
    if (child == 0) _exit(0);
    UNTOUCHED(SAME(waitpid(child, NULL, 0), child));
    UNTOUCHED(thread = start(feed, (void*)0));
    UNTOUCHED(join(thread));
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    UNTOUCHED(SAME(pthread_mutex_lock(&mutex), 0));
    UNTOUCHED(SAME(pthread_mutex_trylock(&mutex), EBUSY));
    UNTOUCHED(SAME(pthread_mutex_unlock(&mutex), 0));
    say("children, threads, locks");
    for (int i = 0; i < 3; i++) join(failing[i]);
    stop_ticking();
    return 0;
}
