/* A ring that hands its completions only to the thread that asks (IORING_SETUP_DEFER_TASKRUN), of
 * whose completions poll(2) tells nobody: each of many waits ends soon after what it waits for.
 *
 * PARITY: switches=60 threads=2 timeout=20
 */
#include "io_uring.h"

enum { ROUNDS = 40 };

static int pipes[2];
static long asked;

static void* write_each(void* unused) {
    for (long i = 1; i <= ROUNDS; i++) {
        while (value_of(&asked) < i) wait_ticks(1);
        wait_ticks(1);
        SAME(write(pipes[1], "word", 4), 4);
    }
    return unused;
}

int main(void) {
    struct ring ring;
    SAME(pipe(pipes), 0);
    start_ticking();
    if (!ring_open(&ring, 1U << 12 | 1U << 13)) {
        say("no such ring here");
    } else {
        pthread_t thread = start(write_each, NULL);
        for (int i = 0; i < ROUNDS; i++) {
            char word[4];
            int result;
            struct io_uring_sqe* sqe = ring_request(&ring, IORING_OP_READ, pipes[0], 100);
            sqe->addr = (unsigned long long)(uintptr_t)word;
            sqe->len = 4;
            SAME(ring_enter(&ring, 1, 0), 1);
            add_to(&asked, 1);
            SAME(ring_enter(&ring, 0, 1), 0);
            SAME(ring_take(&ring, &result), 100);
            SAME(result, 4);
        }
        join(thread);
        say("%d waits", ROUNDS);
    }
    stop_ticking();
    return 0;
}
