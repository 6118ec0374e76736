/* As many epoll sets as the kernel allows: each of six hundred threads, which has waited in a set
 * of its own before, adds one eventfd that all share, and all are told; a nest of sets grows to its
 * full depth below one that a thread waits for.
 *
 * PARITY: switches=600 threads=600 */
#include "parity.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>

enum { THREADS = 600, DEPTH = 8 };

static int stop;
static pthread_barrier_t all;
static int sets[DEPTH];

static void* wait_in_own_set(void* argument) {
    struct epoll_event event = {EPOLLIN, {0}};
    (void)argument;
    int set = epoll_create1(EPOLL_CLOEXEC);
    CHECK(set >= 0);
    SAME(epoll_wait(set, &event, 1, 5), 0);
    pthread_barrier_wait(&all);
    SAME(epoll_ctl(set, EPOLL_CTL_ADD, stop, &event), 0);
    pthread_barrier_wait(&all);
    SAME(epoll_wait(set, &event, 1, -1), 1);
    SAME(close(set), 0);
    return NULL;
}

static void* wait_in_outermost(void* argument) {
    struct epoll_event event;
    (void)argument;
    SAME(epoll_wait(sets[0], &event, 1, -1), 1);
    return NULL;
}

int main(void) {
    static pthread_t threads[THREADS];
    stop = eventfd(0, EFD_CLOEXEC);
    CHECK(stop >= 0);
    SAME(pthread_barrier_init(&all, NULL, THREADS + 1), 0);
    for (int i = 0; i < THREADS; i++) threads[i] = start(wait_in_own_set, NULL);
    pthread_barrier_wait(&all);
    pthread_barrier_wait(&all);
    sleep_ms(20);
    SAME(eventfd_write(stop, 1), 0);
    for (int i = 0; i < THREADS; i++) join(threads[i]);
    say("one descriptor in six hundred sets");

    int deep = eventfd(0, EFD_CLOEXEC), depth = 0;
    for (int i = 0; i < DEPTH; i++) sets[i] = epoll_create1(EPOLL_CLOEXEC);
    pthread_t outermost = start(wait_in_outermost, NULL);
    sleep_ms(20);
    struct epoll_event event = {EPOLLIN, {0}};
    while (depth < DEPTH - 1 && epoll_ctl(sets[depth], EPOLL_CTL_ADD, sets[depth + 1], &event) == 0)
        depth++;
    SAME(errno, ELOOP);
    say("a nest of %d sets", depth);
    /* The innermost one is left out: a descriptor in it would be one level more. */
    SAME(epoll_ctl(sets[depth - 1], EPOLL_CTL_ADD, deep, &event), 0);
    sleep_ms(20);
    SAME(eventfd_write(deep, 1), 0);
    join(outermost);
    say("an event in it is told outside");
    return 0;
}
