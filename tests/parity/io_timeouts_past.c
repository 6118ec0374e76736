/* A negative SO_RCVTIMEO or SO_SNDTIMEO does not wait at all; a good one after it does.
 *
 * PARITY: threads=1 */
#include "parity.h"

static void* run(void* argument) {
    static char many[1 << 20];
    struct timeval past = {-1, 0}, soon = {0, 50000}, told;
    socklen_t size = sizeof told;
    int pair[2];
    char byte;
    for (int kind = 0; kind < 2; kind++) {
        kind ? tcp_pair(pair) : unix_pair(pair);
        SAME(setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &past, sizeof past), 0);
        FAILS(read(pair[0], &byte, 1), EAGAIN);
        FAILS(recv(pair[0], &byte, 1, 0), EAGAIN);
        SAME(getsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &told, &size), 0);
        say("told: %ld %ld", (long)told.tv_sec, (long)told.tv_usec);
        SAME(write(pair[1], "x", 1), 1);
        SAME(read(pair[0], &byte, 1), 1);
        SAME(setsockopt(pair[1], SOL_SOCKET, SO_SNDTIMEO, &past, sizeof past), 0);
        int n = 0;
        while (n < 100 && write(pair[1], many, sizeof many) > 0) n++;
        SAME(errno, EAGAIN);
        CHECK(n < 100);
        while (recv(pair[0], many, sizeof many, MSG_DONTWAIT) > 0) {
        }
        SAME(setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof soon), 0);
        sleep_ms(20);
        while (recv(pair[0], many, sizeof many, MSG_DONTWAIT) > 0) {
        }
        double begun = now_ms();
        FAILS(read(pair[0], &byte, 1), EAGAIN);
        TOOK(begun, 50);
        SAME(close(pair[0]), 0);
        SAME(close(pair[1]), 0);
    }
    return argument;
}

int main(void) {
    join(start(run, NULL));
    return 0;
}
