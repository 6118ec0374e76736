/* 400 threads blocked at the same time, each on a descriptor of its own, released in the opposite
 * order; then all of them by one close; then 100 sockets in one poll.
 *
 * PARITY: switches=800 threads=800 */
#include "parity.h"

enum { MANY = 400 };

static int pairs[MANY][2], gate[2];
static long waiting, order[MANY], released;

static void* wait_own(void* argument) {
    int i = (int)(intptr_t)argument;
    char byte;
    add_to(&waiting, 1);
    SAME(read(pairs[i][0], &byte, 1), 1);
    order[add_to(&released, 1) - 1] = i;
    SAME(write(pairs[i][0], "a", 1), 1); /* tells that it is done */
    return NULL;
}

static void* wait_gate(void* argument) {
    char byte;
    (void)argument;
    add_to(&waiting, 1);
    SAME(read(gate[0], &byte, 1), 0);
    return NULL;
}

int main(void) {
    pthread_t threads[MANY];
    pthread_attr_t small;
    SAME(pthread_attr_init(&small), 0);
    SAME(pthread_attr_setstacksize(&small, 128 * 1024), 0);
    for (int i = 0; i < MANY; i++) {
        unix_pair(pairs[i]);
        SAME(pthread_create(&threads[i], &small, wait_own, (void*)(intptr_t)i), 0);
    }
    wait_for(&waiting, MANY);
    for (int i = MANY - 1; i >= 0; i--) {
        char byte;
        SAME(write(pairs[i][1], "r", 1), 1);
        SAME(read(pairs[i][1], &byte, 1), 1);
    }
    for (int i = 0; i < MANY; i++) join(threads[i]);
    for (int i = 0; i < MANY; i++) SAME(order[i], MANY - 1 - i);
    say("%d threads, released one by one", MANY);

    set_to(&waiting, 0);
    SAME(pipe(gate), 0);
    for (int i = 0; i < MANY; i++) SAME(pthread_create(&threads[i], &small, wait_gate, NULL), 0);
    wait_for(&waiting, MANY);
    SAME(close(gate[1]), 0);
    for (int i = 0; i < MANY; i++) join(threads[i]);
    say("%d threads, released by one close", MANY);

    struct pollfd fds[MANY];
    for (int i = 0; i < MANY; i++) fds[i] = (struct pollfd){pairs[i][0], POLLIN, 0};
    SAME(poll(fds, MANY, 5), 0);
    for (int i = 0; i < MANY; i += 3) SAME(write(pairs[i][1], "x", 1), 1);
    SAME(poll(fds, MANY, -1), (MANY + 2) / 3);
    say("%d descriptors in one poll", MANY);
    return 0;
}
