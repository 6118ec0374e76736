/* Several threads and one descriptor: all that poll it are told; of two that read it each byte goes
 * to one; a reader and a writer block on the same socket in both directions; poll, select, epoll
 * and read side by side; a waiter whose poll timed out leaves the others in place.
 *
 * PARITY: switches=50 threads=20 */
#include "parity.h"

#include <sys/epoll.h>

static int pair[2];
static long told;

static void* poll_it(void* argument) {
    int way = (int)(intptr_t)argument % 3;
    struct pollfd one = {pair[0], POLLIN, 0};
    if (way == 0) SAME(poll(&one, 1, -1), 1);
    if (way == 1) {
        fd_set in;
        FD_ZERO(&in);
        FD_SET(pair[0], &in);
        SAME(select(pair[0] + 1, &in, NULL, NULL, NULL), 1);
    }
    if (way == 2) {
        int set = epoll_create1(EPOLL_CLOEXEC);
        struct epoll_event event = {EPOLLIN, {0}};
        SAME(epoll_ctl(set, EPOLL_CTL_ADD, pair[0], &event), 0);
        SAME(epoll_wait(set, &event, 1, -1), 1);
        SAME(close(set), 0);
    }
    add_to(&told, 1);
    return NULL;
}

static void* poll_a_little(void* argument) {
    (void)argument;
    struct pollfd one = {pair[0], POLLIN, 0};
    SAME(poll(&one, 1, 20), 0);
    return NULL;
}

static void* read_some(void* argument) {
    long sum = 0;
    unsigned char byte;
    (void)argument;
    while (read(pair[0], &byte, 1) == 1) sum += byte;
    return (void*)sum;
}

static void* send_much(void* argument) {
    int fd = (int)(intptr_t)argument;
    char data[10000];
    for (size_t i = 0; i < 200; i++) {
        fill_pattern(data, sizeof data, i * sizeof data, 9);
        SAME(send(fd, data, sizeof data, 0), sizeof data);
    }
    SAME(shutdown(fd, SHUT_WR), 0);
    return NULL;
}

static void* receive_much(void* argument) {
    int fd = (int)(intptr_t)argument;
    char data[7000];
    size_t total = 0;
    for (ssize_t n; (n = recv(fd, data, sizeof data, 0)) != 0; total += (size_t)n) {
        CHECK(n > 0);
        CHECK(is_pattern(data, (size_t)n, total, 9));
    }
    return (void*)total;
}

int main(void) {
    start_ticking();
    for (int kind = 0; kind < 2; kind++) {
        set_to(&told, 0);
        kind ? tcp_pair(pair) : unix_pair(pair);
        pthread_t pollers[6], readers[3];
        for (int i = 0; i < 6; i++) pollers[i] = start(poll_it, (void*)(intptr_t)i);
        join(start(poll_a_little, NULL));
        wait_ticks(10);
        SAME(value_of(&told), 0);
        SAME(write(pair[1], "x", 1), 1);
        for (int i = 0; i < 6; i++) join(pollers[i]);
        say("six wait for the same, all are told");

        for (int i = 0; i < 3; i++) readers[i] = start(read_some, NULL);
        for (int i = 1; i <= 200; i++) {
            unsigned char byte = (unsigned char)i;
            SAME(write(pair[1], &byte, 1), 1);
            if (i % 40 == 0) wait_ticks(2);
        }
        SAME(shutdown(pair[1], SHUT_WR), 0);
        long sum = 0;
        for (int i = 0; i < 3; i++) sum += (long)join(readers[i]);
        SAME(sum, 'x' + 200 * 201 / 2);
        say("three read, each byte once, the end for all");
        SAME(close(pair[0]), 0);
        SAME(close(pair[1]), 0);

        kind ? tcp_pair(pair) : unix_pair(pair);
        pthread_t threads[4];
        for (int i = 0; i < 2; i++) {
            threads[i] = start(send_much, (void*)(intptr_t)pair[i]);
            threads[i + 2] = start(receive_much, (void*)(intptr_t)pair[i]);
        }
        for (int i = 0; i < 2; i++) join(threads[i]);
        for (int i = 0; i < 2; i++) SAME((long)join(threads[i + 2]), 2000000);
        say("a reader and a writer at each end");
        SAME(close(pair[0]), 0);
        SAME(close(pair[1]), 0);
    }
    stop_ticking();
    return 0;
}
