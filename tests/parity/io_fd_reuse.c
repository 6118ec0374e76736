/* The same descriptor number means something else a moment later: threads wait on it, it is closed,
 * reopened as another kind of thing, and threads wait on that. What was remembered of the old one
 * (blocking or not, ready or drained, watched or not) must not show. The number changes its meaning
 * by close, dup2, dup3, close_range, fclose, accept, open, pipe, socketpair, recvmsg.
 *
 * PARITY: switches=300 threads=179 */
#include "parity.h"

#include <sys/eventfd.h>
#include <sys/timerfd.h>

enum { NUMBER = 50, KINDS = 7 };

static int other_end; /* writing here makes NUMBER readable */

static void settle(int fd) {
    if (fd == NUMBER) return;
    SAME(dup2(fd, NUMBER), NUMBER);
    SAME(close(fd), 0);
}

/* Makes NUMBER a readable end of this kind, non-blocking or not. */
static void make(int kind, int nonblocking) {
    int ends[2];
    switch (kind) {
        case 0:
            SAME(pipe(ends), 0);
            break;
        case 1:
            unix_pair(ends);
            break;
        case 2:
            tcp_pair(ends);
            break;
        case 3:
            SAME(socketpair(AF_UNIX, SOCK_DGRAM, 0, ends), 0);
            break;
        case 4:
            ends[0] = eventfd(0, 0);
            ends[1] = dup(ends[0]);
            break;
        case 5:
            SAME(pipe2(ends, O_CLOEXEC), 0);
            break;
        default:
            ends[0] = open("/dev/null", O_RDWR);
            ends[1] = dup(ends[0]);
    }
    other_end = ends[1];
    settle(ends[0]);
    if (nonblocking) set_nonblocking(NUMBER, 1);
}

static void* read_number(void* argument) {
    uint64_t value = 0;
    (void)argument;
    SAME(read(NUMBER, &value, sizeof value), sizeof value);
    SAME(value, 7);
    return NULL;
}

static void use(int kind, int nonblocking) {
    uint64_t value = 7;
    if (kind == 6) { /* /dev/null is always at its end */
        SAME(read(NUMBER, &value, sizeof value), 0);
    } else if (nonblocking) {
        FAILS(read(NUMBER, &value, sizeof value), EAGAIN);
        SAME(write(other_end, &value, sizeof value), sizeof value);
        struct pollfd ready = {NUMBER, POLLIN, 0};
        SAME(poll(&ready, 1, -1), 1);
        SAME(read(NUMBER, &value, sizeof value), sizeof value);
    } else {
        pthread_t thread = start(read_number, NULL);
        wait_ticks(1);
        SAME(write(other_end, &value, sizeof value), sizeof value);
        join(thread);
    }
}

int main(void) {
    start_ticking();
    for (int from = 0; from < KINDS; from++)
        for (int to = 0; to < KINDS; to++)
            for (int way = 0; way < 4; way++) {
                make(from, way & 1);
                use(from, way & 1);
                SAME(close(other_end), 0);
                if (way & 2) SAME(close(NUMBER), 0); /* else make() puts the new one over it */
                make(to, !(way & 1));
                use(to, !(way & 1));
                SAME(close(other_end), 0);
                SAME(close(NUMBER), 0);
            }
    say("%d kinds after %d kinds, four ways", KINDS, KINDS);

    for (int way = 0; way < 5; way++) {
        make(way % 3, 0);
        use(way % 3, 0);
        SAME(close(other_end), 0);
        int ends[2];
        SAME(pipe(ends), 0);
        FILE* stream = NULL;
        switch (way) {
            case 0:
                SAME(close_range(NUMBER, NUMBER, 0), 0);
                break;
            case 1:
                stream = fdopen(NUMBER, "r");
                SAME(fclose(stream), 0);
                break;
            case 2:
                SAME(dup3(ends[0], NUMBER, O_CLOEXEC), NUMBER);
                break;
            case 3:
                SAME(close(NUMBER), 0);
                SAME(fcntl(ends[0], F_DUPFD, NUMBER), NUMBER);
                break;
            case 4:
                SAME(dup2(ends[0], NUMBER), NUMBER);
                break;
        }
        if (way < 2) SAME(dup2(ends[0], NUMBER), NUMBER);
        SAME(close(ends[0]), 0);
        other_end = ends[1];
        use(0, 0);
        SAME(close(other_end), 0);
        char byte;
        SAME(read(NUMBER, &byte, 1), 0);
        SAME(close(NUMBER), 0);
        FAILS(read(NUMBER, &byte, 1), EBADF);
    }
    say("close_range, fclose, dup3, F_DUPFD, dup2");
    stop_ticking();
    return 0;
}
