/* The flags of send and recv on stream sockets: MSG_DONTWAIT, MSG_PEEK, MSG_WAITALL (in pieces from
 * another thread, cut short by the end or by SO_RCVTIMEO), MSG_TRUNC (TCP: discard), MSG_NOSIGNAL,
 * MSG_OOB, zero lengths.
 *
 * PARITY: switches=20 threads=4 */
#include "parity.h"

static int pair[2];

static void* send_in_pieces(void* argument) {
    const char* text = (const char*)argument;
    for (size_t i = 0; text[i]; i++) {
        wait_ticks(2);
        SAME(send(pair[1], text + i, 1, 0), 1);
    }
    return NULL;
}

static void* send_and_end(void* argument) {
    send_in_pieces(argument);
    SAME(shutdown(pair[1], SHUT_WR), 0);
    return NULL;
}

static void flags_of(const char* kind) {
    char data[64];
    FAILS(recv(pair[0], data, sizeof data, MSG_DONTWAIT), EAGAIN);
    SAME(is_nonblocking(pair[0]), 0);
    SAME(send(pair[1], "", 0, 0), 0);
    FAILS(recv(pair[0], data, 0, MSG_DONTWAIT), EAGAIN); /* even nothing waits for something */

    pthread_t thread = start(send_in_pieces, (void*)"abcdefgh");
    memset(data, 0, sizeof data);
    SAME(recv(pair[0], data, 8, MSG_WAITALL), 8);
    CHECK(strcmp(data, "abcdefgh") == 0);
    join(thread);
    say("%s: MSG_WAITALL in pieces", kind);

    thread = start(send_in_pieces, (void*)"peek");
    CHECK(recv(pair[0], data, 8, MSG_PEEK) >= 1); /* blocks until there is one */
    SAME(data[0], 'p');
    join(thread);
    SAME(recv(pair[0], data, 8, MSG_PEEK), 4);
    SAME(recv(pair[0], data, 3, MSG_PEEK | MSG_WAITALL), 3);
    SAME(recv(pair[0], data, 2, 0), 2);
    SAME(recv(pair[0], data, 8, MSG_PEEK | MSG_DONTWAIT), 2);
    CHECK(memcmp(data, "ek", 2) == 0);
    SAME(recv(pair[0], data, 8, 0), 2);
    FAILS(recv(pair[0], data, 8, MSG_PEEK | MSG_DONTWAIT), EAGAIN);
    say("%s: MSG_PEEK", kind);

    struct timeval wait = timeval_ms(150);
    SAME(setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait), 0);
    SAME(send(pair[1], "xyz", 3, 0), 3);
    double begun = now_ms();
    SAME(recv(pair[0], data, 10, MSG_WAITALL), 3);
    TOOK(begun, 150);
    FAILS(recv(pair[0], data, 10, MSG_WAITALL), EAGAIN);
    wait = timeval_ms(0);
    SAME(setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait), 0);
    say("%s: MSG_WAITALL under SO_RCVTIMEO", kind);

    thread = start(send_and_end, (void*)"12345");
    SAME(recv(pair[0], data, 10, MSG_WAITALL), 5);
    SAME(recv(pair[0], data, 10, MSG_WAITALL), 0);
    SAME(recv(pair[0], data, 10, MSG_DONTWAIT), 0);
    join(thread);
    FAILS(send(pair[1], "x", 1, MSG_NOSIGNAL), EPIPE);
    say("%s: MSG_WAITALL up to the end", kind);
    SAME(close(pair[0]), 0);
    SAME(close(pair[1]), 0);
}

static void only_tcp(void) {
    char data[64];
    tcp_pair(pair);
    pthread_t thread = start(send_in_pieces, (void*)"discarded");
    SAME(recv(pair[0], NULL, 9, MSG_TRUNC | MSG_WAITALL), 9);
    join(thread);
    FAILS(recv(pair[0], data, 1, MSG_DONTWAIT), EAGAIN);
    say("TCP: MSG_TRUNC discards");

    FAILS(recv(pair[0], data, 10, MSG_OOB), EINVAL);
    SAME(send(pair[1], "ab!", 3, MSG_OOB), 3);
    struct pollfd urgent = {pair[0], POLLPRI, 0};
    SAME(poll(&urgent, 1, -1), 1);
    SAME(urgent.revents, POLLPRI);
    SAME(recv(pair[0], data, 10, MSG_OOB), 1);
    SAME(data[0], '!');
    SAME(recv(pair[0], data, 10, 0), 2);
    say("TCP: MSG_OOB");

    SAME(send(pair[1], "held", 4, MSG_MORE), 4);
    SAME(send(pair[1], "sent", 4, 0), 4);
    SAME(recv(pair[0], data, 8, MSG_WAITALL), 8);
    CHECK(memcmp(data, "heldsent", 8) == 0);
    say("TCP: MSG_MORE");
    SAME(close(pair[0]), 0);
    SAME(close(pair[1]), 0);
}

int main(void) {
    start_ticking();
    tcp_pair(pair);
    flags_of("TCP");
    unix_pair(pair);
    flags_of("Unix");
    only_tcp();
    stop_ticking();
    return 0;
}
