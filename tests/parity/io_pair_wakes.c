/* Both ends of pipes and socket pairs are in one process, and numbers are used anew: who writes
 * wakes the right reader, whoever has the number now; a packet pipe gives a packet a read; a reader
 * that read less than it asked for waits for the next write, from here or from another process.
 *
 * PARITY: switches=200 threads=3 */
#include "parity.h"

enum { rounds = 100 };
static int to[2], back[2];

static void* answer(void* unused) {
    char c[8];
    for (int i = 0; i < rounds; ++i) {
        SAME(read(to[0], c, sizeof c), 1);
        SAME(write(back[1], c, 1), 1);
    }
    return unused;
}

static void ping_pong(void) {
    pthread_t thread;
    char c[8];
    SAME(pthread_create(&thread, NULL, answer, NULL), 0);
    for (int i = 0; i < rounds; ++i) {
        SAME(write(to[1], "x", 1), 1);
        SAME(read(back[0], c, sizeof c), 1);
    }
    SAME(pthread_join(thread, NULL), 0);
}

static void close_all(void) {
    for (int i = 0; i < 2; ++i) {
        SAME(close(to[i]), 0);
        SAME(close(back[i]), 0);
    }
}

int main(void) {
    char text[16];
    SAME(pipe(to), 0);
    SAME(socketpair(AF_UNIX, SOCK_STREAM, 0, back), 0);
    ping_pong();
    say("made before the first thread");
    close_all();
    SAME(socketpair(AF_UNIX, SOCK_STREAM, 0, to), 0); /* the same numbers, other kinds */
    SAME(pipe(back), 0);
    ping_pong();
    say("made later");
    close_all();

    int moved = dup(STDOUT_FILENO); /* the ends change places */
    SAME(pipe(to), 0);
    SAME(close(moved), 0);
    SAME(pipe(back), 0);
    int reader = dup(to[0]);
    SAME(close(to[0]), 0);
    to[0] = reader;
    ping_pong();
    say("under another number");
    close_all();

    SAME(pipe2(to, O_DIRECT), 0);
    SAME(pipe(back), 0);
    SAME(write(to[1], "one", 3), 3);
    SAME(write(to[1], "three", 5), 5);
    SAME(read(to[0], text, sizeof text), 3);
    SAME(read(to[0], text, sizeof text), 5);
    say("packets");

    pid_t child = fork();
    if (child == 0) {
        sleep_ms(20);
        SAME(write(back[1], "child", 5), 5);
        sleep_ms(20);
        SAME(write(back[1], "again", 5), 5);
        _exit(0);
    }
    SAME(close(back[1]), 0);
    for (int i = 0; i < 2; ++i) SAME(read(back[0], text, sizeof text), 5);
    SAME(read(back[0], text, sizeof text), 0);
    SAME(waitpid(child, NULL, 0), child);
    say("from another process");
    return 0;
}
