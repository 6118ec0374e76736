/* Two threads that compute, and ask poll and select now and then about what is never ready: the
 * answer is 0 each time, and never EINTR, for no signal has a handler here.
 *
 * PARITY: threads=2 switches=10
 */
#include "thread.h"

#include <poll.h>
#include <sys/select.h>

static int ends[2];

static void* ask_often(void* argument) {
    struct timespec late = in_ms(CLOCK_MONOTONIC, 700);
    volatile unsigned long turns = 0;
    long wrong = 0;
    while (!reached(CLOCK_MONOTONIC, late)) {
        struct pollfd p = {ends[0], POLLIN, 0};
        fd_set set;
        FD_ZERO(&set);
        FD_SET(ends[0], &set);
        struct timeval none = {0, 0};
        for (int i = 0; i < 50; i++) turns++;
        if (poll(&p, 1, argument == NULL ? 1 : 0) != 0) wrong++;
        if (select(ends[0] + 1, &set, NULL, NULL, &none) != 0) wrong++;
    }
    return (void*)wrong;
}

int main(void) {
    CHECK(pipe(ends) == 0);
    pthread_t first = spawn(ask_often, NULL), second = spawn(ask_often, ends);
    void *one = NULL, *two = NULL;
    CHECK(pthread_join(first, &one) == 0 && pthread_join(second, &two) == 0);
    SHOW_LONG((long)one);
    SHOW_LONG((long)two);
    return 0;
}
