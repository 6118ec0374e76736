/* Busy waiting in its polite forms: a thread waits for a flag that another thread sets, in a loop
 * of sched_yield, usleep(0), nanosleep of nothing, poll with no time,
 * select with no time, a read that says EAGAIN. Each form must let the others run.
 *
 * PARITY: switches=50 threads=9 */
#include "parity.h"

enum { WAYS = 8 };

static long flags[WAYS], turns;
static int ends[2];

static void wait_a_bit(int way) {
    struct timespec nothing = {0, 0};
    struct timeval no_time = {0, 0};
    struct pollfd one = {ends[0], POLLIN, 0};
    char byte;
    switch (way) {
        case 0:
            SAME(sched_yield(), 0);
            break;
        case 1:
            SAME(usleep(0), 0);
            break;
        case 2:
            SAME(nanosleep(&nothing, NULL), 0);
            break;
        case 3:
            SAME(poll(&one, 1, 0), 0);
            break;
        case 4:
            SAME(select(0, NULL, NULL, NULL, &no_time), 0);
            break;
        case 5:
            FAILS(read(ends[0], &byte, 1), EAGAIN);
            break;
        case 6:
            SAME(poll(NULL, 0, 0), 0);
            break;
        case 7:
            SAME(sleep(0), 0);
            break;
    }
}

/* Each waits for its own flag and then sets the next one's. */
static void* wait_for_flag(void* argument) {
    int way = (int)(intptr_t)argument;
    while (!value_of(&flags[way])) wait_a_bit(way);
    if (way + 1 < WAYS) set_to(&flags[way + 1], 1);
    return NULL;
}

static void* take_turns(void* argument) {
    long me = (long)(intptr_t)argument;
    for (int i = 0; i < 1000; i++) {
        while (value_of(&turns) % 3 != me) sched_yield();
        add_to(&turns, 1);
    }
    return NULL;
}

int main(void) {
    SAME(pipe2(ends, O_NONBLOCK), 0);
    pthread_t threads[WAYS];
    for (int i = 0; i < WAYS; i++) threads[i] = start(wait_for_flag, (void*)(intptr_t)i);
    usleep(20000);
    set_to(&flags[0], 1);
    for (int i = 0; i < WAYS; i++) join(threads[i]);
    say("%d polite ways to wait", WAYS);
    for (int i = 0; i < 3; i++) threads[i] = start(take_turns, (void*)(intptr_t)i);
    for (int i = 0; i < 3; i++) join(threads[i]);
    say("%ld turns by sched_yield", value_of(&turns));
    return 0;
}
