/* Several threads wait in the same call on one descriptor: who came first is served first. Pipes,
 * datagrams, packets and listeners.
 *
 * PARITY: switches=50 threads=20 timeout=30
 */
#include "parity.h"

enum { waiters = 4 };
static int ends[2], is_listener;
static long begun, served;
static int order[waiters];

static void* wait_in_line(void* number) {
    char byte;
    add_to(&begun, 1);
    if (is_listener) {
        int fd = accept(ends[0], NULL, NULL);
        CHECK(fd >= 0);
        SAME(close(fd), 0);
    } else {
        SAME(read(ends[0], &byte, 1), 1);
    }
    order[value_of(&served)] = (int)(long)number;
    add_to(&served, 1);
    return NULL;
}

static void serve(const char* what) {
    pthread_t threads[waiters];
    struct sockaddr_un name;
    socklen_t size = is_listener == AF_UNIX ? unix_name(&name, "order") : 0;
    set_to(&begun, 0);
    set_to(&served, 0);
    for (long i = 0; i < waiters; i++) {
        threads[i] = start(wait_in_line, (void*)i);
        wait_for(&begun, i + 1);
        wait_ticks(20);
    }
    for (int i = 0; i < waiters; i++) {
        int client = -1;
        if (is_listener == AF_UNIX) {
            client = socket(AF_UNIX, SOCK_STREAM, 0);
            SAME(connect(client, (struct sockaddr*)&name, size), 0);
        } else if (is_listener) {
            client = tcp_connect(port_of(ends[0]));
        } else {
            SAME(write(ends[1], "x", 1), 1);
        }
        wait_for(&served, i + 1);
        wait_ticks(20);
        if (client >= 0) SAME(close(client), 0);
    }
    for (int i = 0; i < waiters; i++) join(threads[i]);
    say("%s: %d %d %d %d", what, order[0], order[1], order[2], order[3]);
    SAME(close(ends[0]), 0);
    if (!is_listener) SAME(close(ends[1]), 0);
}

int main(void) {
    struct sockaddr_un name;
    socklen_t size = unix_name(&name, "order");
    start_ticking();
    SAME(pipe(ends), 0);
    serve("pipe");
    SAME(socketpair(AF_UNIX, SOCK_DGRAM, 0, ends), 0);
    serve("datagrams");
    SAME(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
    serve("packets");
    is_listener = AF_INET;
    ends[0] = tcp_listen(8);
    serve("TCP listener");
    is_listener = AF_UNIX;
    ends[0] = socket(AF_UNIX, SOCK_STREAM, 0);
    SAME(bind(ends[0], (struct sockaddr*)&name, size), 0);
    SAME(listen(ends[0], 8), 0);
    serve("Unix listener");
    stop_ticking();
    return 0;
}
