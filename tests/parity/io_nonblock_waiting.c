/* Calls that wait for a socket go on waiting when O_NONBLOCK is set meanwhile: it counts when a
 * call begins. Several that read, several that accept, one that sends much, and one with
 * MSG_WAITALL. Also: a peek with MSG_WAITALL at a TCP stream waits for all, and a Unix stream that
 * waits for room is told when its peer is shut down for reading.
 *
 * PARITY: switches=50 threads=15 timeout=30
 */
#include "parity.h"

enum { much = 1 << 20, readers = 3 };
static int sockets[2];
static long begun, ended, failed;

static void* read_one(void* unused) {
    char byte;
    (void)unused;
    add_to(&begun, 1);
    if (read(sockets[0], &byte, 1) != 1) add_to(&failed, 1);
    add_to(&ended, 1);
    return NULL;
}

static void* accept_one(void* listener) {
    add_to(&begun, 1);
    int fd = accept(*(int*)listener, NULL, NULL);
    fd < 0 ? (void)add_to(&failed, 1) : (void)close(fd);
    add_to(&ended, 1);
    return NULL;
}

static void* send_much(void* unused) {
    static char data[much];
    (void)unused;
    add_to(&begun, 1);
    return (void*)send(sockets[0], data, much, MSG_NOSIGNAL);
}

static void* receive_ten(void* flags) {
    char text[10];
    add_to(&begun, 1);
    return (void*)recv(sockets[0], text, 10, MSG_WAITALL | (int)(long)flags);
}

static void begin(int kind) {
    kind ? tcp_pair(sockets) : unix_pair(sockets);
    set_to(&begun, 0);
    set_to(&ended, 0);
    set_to(&failed, 0);
}

static void end(void) {
    SAME(close(sockets[0]), 0);
    SAME(close(sockets[1]), 0);
}

static void wait_for_begun(long count) {
    wait_for(&begun, count);
    wait_ticks(20);
}

static void take_away(size_t left) {
    static char data[65536];
    while (left > 0) {
        ssize_t n = read(sockets[1], data, left < sizeof data ? left : sizeof data);
        CHECK(n > 0);
        left -= (size_t)n;
    }
}

int main(void) {
    pthread_t threads[readers];
    start_ticking();
    for (int kind = 0; kind < 2; kind++) {
        begin(kind);
        for (int i = 0; i < readers; i++) threads[i] = start(read_one, NULL);
        wait_for_begun(readers);
        set_nonblocking(sockets[0], 1);
        for (int i = 0; i < readers; i++) {
            SAME(write(sockets[1], "x", 1), 1);
            wait_for(&ended, i + 1);
            wait_ticks(10);
            SAME(value_of(&ended), i + 1);
        }
        for (int i = 0; i < readers; i++) join(threads[i]);
        SAME(failed, 0);
        end();
        say("%d read", readers);

        begin(kind);
        threads[0] = start(send_much, NULL);
        wait_for_begun(1);
        set_nonblocking(sockets[0], 1);
        take_away(much);
        SAME((long)join(threads[0]), much);
        end();
        say("one sends");

        begin(kind);
        threads[0] = start(receive_ten, NULL);
        wait_for_begun(1);
        SAME(write(sockets[1], "abc", 3), 3);
        wait_ticks(10);
        set_nonblocking(sockets[0], 1);
        SAME(write(sockets[1], "defg", 4), 4);
        wait_ticks(10);
        SAME(write(sockets[1], "hij", 3), 3);
        SAME((long)join(threads[0]), 10);
        end();
        say("one receives all");

        begin(kind);
        SAME(write(sockets[1], "abc", 3), 3);
        threads[0] = start(receive_ten, (void*)(long)MSG_PEEK);
        wait_for_begun(1);
        SAME(write(sockets[1], "defghij", 7), 7);
        say("one peeks at %ld", (long)join(threads[0]));
        threads[0] = start(receive_ten, NULL);
        SAME((long)join(threads[0]), 10);
        SAME(write(sockets[1], "abc", 3), 3);
        threads[0] = start(receive_ten, (void*)(long)MSG_PEEK);
        wait_for_begun(3);
        SAME(shutdown(sockets[1], SHUT_WR), 0);
        say("one peeks at %ld before the end", (long)join(threads[0]));
        end();
    }

    int listener = tcp_listen(8);
    begin(0);
    for (int i = 0; i < readers; i++) threads[i] = start(accept_one, &listener);
    wait_for_begun(readers);
    set_nonblocking(listener, 1);
    for (int i = 0; i < readers; i++) {
        int client = tcp_connect(port_of(listener));
        wait_for(&ended, i + 1);
        wait_ticks(10);
        SAME(value_of(&ended), i + 1);
        SAME(close(client), 0);
    }
    for (int i = 0; i < readers; i++) join(threads[i]);
    SAME(failed, 0);
    SAME(close(listener), 0);
    end();
    say("%d accept", readers);

    begin(0);
    threads[0] = start(send_much, NULL);
    wait_for_begun(1);
    SAME(shutdown(sockets[1], SHUT_RD), 0);
    long sent = (long)join(threads[0]);
    CHECK(sent > 0 && sent < much);
    end();
    say("told of the shutdown");
    stop_ticking();
    return 0;
}
