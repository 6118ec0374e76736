/* One blocking write of several megabytes is one complete write, however slow the reader: over TCP,
 * a Unix socket and a pipe, by write, writev, send and sendmsg, at the same time in many threads.
 *
 * PARITY: switches=100 threads=25 */
#include "parity.h"

enum { SIZE = 3 << 20 };

struct job {
    int from, to;
    unsigned way;
};

static void* write_big(void* argument) {
    struct job* job = (struct job*)argument;
    char* data = (char*)malloc(SIZE);
    fill_pattern(data, SIZE, 0, job->way);
    struct iovec pieces[3] = {{data, 1000}, {data + 1000, 1 << 20}, {data + 1000 + (1 << 20), 0}};
    pieces[2].iov_len = SIZE - 1000 - (1 << 20);
    struct msghdr message;
    memset(&message, 0, sizeof message);
    message.msg_iov = pieces;
    message.msg_iovlen = 3;
    switch (job->way) {
        case 0:
            SAME(write(job->to, data, SIZE), SIZE);
            break;
        case 1:
            SAME(writev(job->to, pieces, 3), SIZE);
            break;
        case 2:
            SAME(send(job->to, data, SIZE, 0), SIZE);
            break;
        case 3:
            SAME(sendmsg(job->to, &message, 0), SIZE);
            break;
    }
    SAME(is_nonblocking(job->to), 0);
    SAME(close(job->to), 0);
    free(data);
    return NULL;
}

static void* read_slowly(void* argument) {
    struct job* job = (struct job*)argument;
    char data[30000];
    size_t total = 0;
    wait_ticks(5); /* the writer is blocked by now */
    for (ssize_t n; (n = read(job->from, data, sizeof data)) != 0; total += (size_t)n) {
        CHECK(n > 0);
        CHECK(is_pattern(data, (size_t)n, total, job->way));
        if (total / 700000 != (total + (size_t)n) / 700000) sleep_ms(2);
    }
    SAME(total, SIZE);
    SAME(close(job->from), 0);
    return NULL;
}

int main(void) {
    start_ticking();
    struct job jobs[10];
    pthread_t threads[20];
    int count = 0;
    for (int kind = 0; kind < 3; kind++)
        for (unsigned way = 0; way < (kind == 2 ? 2 : 4); way++) {
            int ends[2];
            if (kind == 0) tcp_pair(ends);
            if (kind == 1) unix_pair(ends);
            if (kind == 2) SAME(pipe(ends), 0);
            jobs[count] = (struct job){ends[0], ends[1], way};
            count++;
        }
    for (int i = 0; i < count; i++) {
        threads[2 * i] = start(write_big, &jobs[i]);
        threads[2 * i + 1] = start(read_slowly, &jobs[i]);
    }
    for (int i = 0; i < 2 * count; i++) join(threads[i]);
    say("%d writes of %d bytes", count, SIZE);

    /* Both directions at once, each end writes before it reads. */
    int ends[2];
    tcp_pair(ends);
    struct job there = {ends[0], ends[1], 2}, back = {ends[1], ends[0], 3};
    there.to = dup(ends[1]);
    back.to = dup(ends[0]);
    int mine[2] = {dup(ends[0]), dup(ends[1])}; /* a reader closes its end when all has come */
    parity_body bodies[2] = {write_big, read_slowly};
    for (int i = 0; i < 2; i++) {
        threads[2 * i] = start(bodies[i], &there);
        threads[2 * i + 1] = start(bodies[i], &back);
    }
    join(threads[0]); /* the dup is closed, not the connection: say that it has ended */
    SAME(shutdown(mine[1], SHUT_WR), 0);
    join(threads[1]);
    SAME(shutdown(mine[0], SHUT_WR), 0);
    join(threads[2]);
    join(threads[3]);
    say("both directions at once");
    stop_ticking();
    return 0;
}
