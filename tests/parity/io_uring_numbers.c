/* A ring closes a connection and accepts the next, which gets its number: who waits for that one
 * for long is told what comes, as who waited for the first was.
 *
 * PARITY: switches=4 threads=3 timeout=40
 */
#include "io_uring.h"

static struct ring ring;

static int by_ring(int operation, int fd) {
    int result;
    ring_request(&ring, operation, fd, 1);
    SAME(ring_enter(&ring, 1, 0), 1);
    SAME(ring_enter(&ring, 0, 1), 0);
    SAME(ring_take(&ring, &result), 1);
    return result;
}

static void* read_one(void* argument) {
    char byte = 0;
    SAME(read((int)(long)argument, &byte, 1), 1);
    SAME(byte, 'x');
    return NULL;
}

static void wait_for_byte(int server, int client, long ms) {
    pthread_t thread = start(read_one, (void*)(long)server);
    sleep_ms(ms);
    SAME(write(client, "x", 1), 1);
    join(thread);
}

int main(void) {
    start_ticking();
    if (!ring_open(&ring, 0)) {
        say("no such ring here");
    } else {
        int listener = tcp_listen(4);
        int first = tcp_connect(port_of(listener));
        int second = tcp_connect(port_of(listener));
        int server = accept(listener, NULL, NULL);
        CHECK(server >= 0);
        wait_for_byte(server, first, 20);
        SAME(by_ring(IORING_OP_CLOSE, server), 0);
        SAME(by_ring(IORING_OP_ACCEPT, listener), server);
        wait_for_byte(server, second, 2000);
        say("both told");
    }
    stop_ticking();
    return 0;
}
