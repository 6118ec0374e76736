/* The end right behind the last bytes. Data and the end of file arrive together and are read in
 * short pieces, in exact pieces, with more room than there is, by blocked readers and by late ones:
 * after the last byte there is the end, at once, each time. (Whoever remembers readiness from edges
 * must not take a short read for "nothing more to come".)
 *
 * PARITY: switches=50 threads=9 */
#include "parity.h"

enum { KINDS = 4, ROUNDS = 40 };

static void make(int kind, int ends[2]) {
    if (kind == 0) tcp_pair(ends);
    if (kind == 1) unix_pair(ends);
    if (kind == 2) SAME(pipe(ends), 0);
    if (kind == 3) { /* the end comes by shutdown and the peer stays */
        tcp_pair(ends);
    }
}

struct job {
    int kind, from, to, round;
    size_t size, room;
};

static void* read_all_of_it(void* argument) {
    struct job* job = (struct job*)argument;
    char data[256];
    size_t total = 0;
    if (job->round % 2) wait_ticks(2); /* comes late: all is there */
    for (ssize_t n; (n = read(job->from, data, job->room)) != 0; total += (size_t)n) {
        CHECK(n > 0);
        CHECK(is_pattern(data, (size_t)n, total, 1));
        if (job->round % 3 == 0) {
            struct pollfd more = {job->from, POLLIN, 0};
            SAME(poll(&more, 1, -1), 1); /* more data or the end: there is something */
        }
    }
    SAME(total, job->size);
    SAME(read(job->from, data, job->room), 0); /* the end stays */
    SAME(read(job->from, data, 1), 0);
    SAME(close(job->from), 0);
    return NULL;
}

static void* one_kind(void* argument) {
    int kind = (int)(intptr_t)argument;
    for (int round = 0; round < ROUNDS; round++) {
        int ends[2];
        make(kind, ends);
        struct job job = {kind, ends[0], ends[1], round, (size_t)(1 + round * 5), 0};
        size_t rooms[4] = {1 + (size_t)round % 7, job.size, job.size + 1, sizeof(char[256])};
        job.room = rooms[round / 2 % 4];
        char data[256];
        fill_pattern(data, job.size, 0, 1);
        pthread_t reader = start(read_all_of_it, &job);
        if (round % 4 < 2) wait_ticks(1);
        if (round % 5 == 0 && job.size > 1) { /* some, then the rest together with the end */
            SAME(write(ends[1], data, 1), 1);
            sched_yield();
            SAME(write(ends[1], data + 1, job.size - 1), (ssize_t)job.size - 1);
        } else {
            SAME(write(ends[1], data, job.size), job.size);
        }
        if (kind == 3) SAME(shutdown(ends[1], SHUT_WR), 0);
        if (kind != 3) SAME(close(ends[1]), 0);
        join(reader);
        if (kind == 3) SAME(close(ends[1]), 0);
    }
    return NULL;
}

int main(void) {
    start_ticking();
    pthread_t threads[KINDS];
    for (int kind = 0; kind < KINDS; kind++) threads[kind] = start(one_kind, (void*)(intptr_t)kind);
    for (int kind = 0; kind < KINDS; kind++) join(threads[kind]);
    say("%d kinds, %d rounds: every byte, then the end", KINDS, ROUNDS);
    stop_ticking();
    return 0;
}
