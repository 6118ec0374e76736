/* splice(2) and sendfile(2) hold a pipe while they wait for a socket: those who use the pipe
 * meanwhile wait with it natively, and whoever ends the wait runs. A full socket, several threads
 * that wait for the data of one, and a sendfile from a socket; which is no cancellation point.
 *
 * PARITY: switches=50 threads=10 timeout=30
 */
#include "parity.h"

#include <sys/sendfile.h>

enum { part = 30000 };
static int sockets[2], pipe_ends[2];
static long waiting, moved, written;

static void* move_out(void* unused) {
    (void)unused;
    add_to(&waiting, 1);
    SAME(splice(pipe_ends[0], NULL, sockets[0], NULL, part, 0), part);
    return NULL;
}

static void* move_in(void* unused) {
    (void)unused;
    add_to(&waiting, 1);
    add_to(&moved, splice(sockets[0], NULL, pipe_ends[1], NULL, 10, 0));
    return NULL;
}

static void* send_in(void* unused) {
    (void)unused;
    add_to(&waiting, 1);
    add_to(&moved, sendfile(pipe_ends[1], sockets[0], NULL, 10));
    return NULL;
}

static void* write_beside(void* unused) {
    (void)unused;
    SAME(write(pipe_ends[1], "w", 1), 1);
    add_to(&written, 1);
    return NULL;
}

static void make(int kind) {
    kind ? tcp_pair(sockets) : unix_pair(sockets);
    SAME(pipe(pipe_ends), 0);
    set_to(&waiting, 0);
    set_to(&moved, 0);
    set_to(&written, 0);
}

static void done(void) {
    for (int i = 0; i < 2; i++) {
        SAME(close(sockets[i]), 0);
        SAME(close(pipe_ends[i]), 0);
    }
}

static void full_socket(void) {
    static char data[part];
    size_t before = fill_up(sockets[0]);
    fill_pattern(data, part, 0, 1);
    write_all(pipe_ends[1], data, part);
    pthread_t mover = start(move_out, NULL);
    wait_for(&waiting, 1);
    wait_ticks(20);
    pthread_t writer = start(write_beside, NULL);
    wait_ticks(20);
    while (before > 0) {
        ssize_t n = read(sockets[1], data, before < part ? before : part);
        CHECK(n > 0);
        before -= (size_t)n;
    }
    SAME(read_all(sockets[1], data, part), part);
    CHECK(is_pattern(data, part, 0, 1));
    join(mover);
    join(writer);
    SAME(read(pipe_ends[0], data, part), 1);
}

static void cancelled_sender(void) {
    char text[10];
    pthread_t sender = start(send_in, NULL);
    wait_for(&waiting, 1);
    wait_ticks(20);
    SAME(pthread_cancel(sender), 0);
    wait_ticks(20);
    SAME(write(sockets[1], "data", 4), 4);
    wait_for(&moved, 4);
    join(sender);
    SAME(read(pipe_ends[0], text, 10), 4);
}

static void data_taken(parity_body body) {
    char text[16];
    pthread_t movers[3], writer = 0;
    for (int i = 0; i < 3; i++) movers[i] = start(body, NULL);
    wait_for(&waiting, 3);
    wait_ticks(20);
    for (int i = 0; i < 3; i++) {
        SAME(write(sockets[1], "data", 4), 4);
        wait_for(&moved, 4 * (i + 1));
        if (i == 0) writer = start(write_beside, NULL);
        wait_ticks(5);
    }
    for (int i = 0; i < 3; i++) join(movers[i]);
    join(writer);
    SAME(read_all(pipe_ends[0], text, 13), 13);
}

int main(void) {
    start_ticking();
    for (int kind = 0; kind < 2; kind++) {
        make(kind);
        full_socket();
        done();
        say("a full socket");
        make(kind);
        data_taken(move_in);
        done();
        say("spliced, one after the other");
        make(kind);
        data_taken(send_in);
        done();
        say("sent, one after the other");
        make(kind);
        cancelled_sender();
        done();
        say("not cancelled");
    }
    stop_ticking();
    return 0;
}
