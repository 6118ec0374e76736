/* Writing to nobody: SIGPIPE ends a process, a handler or SIG_IGN turns it into EPIPE,
 * MSG_NOSIGNAL keeps it away; a writer already blocked gets it when the reader goes.
 *
 * PARITY: switches=10 threads=3 */
#include "parity.h"

static long signals;

static void count_signal(int number) {
    SAME(number, SIGPIPE);
    add_to(&signals, 1);
}

static void* close_soon(void* argument) {
    wait_ticks(5);
    SAME(close((int)(intptr_t)argument), 0);
    return NULL;
}

static void make(int kind, int ends[2]) {
    if (kind == 0) SAME(pipe(ends), 0);
    if (kind == 1) unix_pair(ends);
    if (kind == 2) tcp_pair(ends);
}

/* The status of a child that writes to a closed end. */
static int child_writing(int kind) {
    int status = 0;
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        int ends[2];
        make(kind, ends);
        close(ends[0]);
        for (int i = 0; i < 100; i++) {
            if (write(ends[1], "x", 1) < 0) _exit(2);
            usleep(2000); /* TCP learns of it by the answer to the first byte */
        }
        _exit(3);
    }
    SAME(waitpid(child, &status, 0), child);
    return status;
}

int main(void) {
    static char many[1 << 20];
    start_ticking();
    const char* names[3] = {"pipe", "Unix", "TCP"};
    for (int kind = 0; kind < 3; kind++) {
        int status = child_writing(kind);
        CHECK(WIFSIGNALED(status));
        SAME(WTERMSIG(status), SIGPIPE);
        say("%s: SIGPIPE ends a process", names[kind]);
    }
    signal(SIGPIPE, count_signal);
    for (int kind = 0; kind < 3; kind++) {
        int ends[2];
        make(kind, ends);
        set_to(&signals, 0);
        pthread_t thread = start(close_soon, (void*)(intptr_t)ends[0]);
        ssize_t n;
        while ((n = write(ends[1], many, sizeof many)) > 0) continue;
        SAME(n, -1);
        CHECK(errno == EPIPE || (kind > 0 && errno == ECONNRESET)); /* unread data were there */
        join(thread);
        set_to(&signals, 0);
        FAILS(write(ends[1], "x", 1), EPIPE);
        SAME(value_of(&signals), 1);
        struct iovec piece = {many, 10};
        FAILS(writev(ends[1], &piece, 1), EPIPE);
        SAME(value_of(&signals), 2);
        if (kind > 0) {
            FAILS(send(ends[1], "x", 1, MSG_NOSIGNAL), EPIPE);
            FAILS(send(ends[1], "x", 1, MSG_NOSIGNAL | MSG_DONTWAIT), EPIPE);
            SAME(value_of(&signals), 2);
            FAILS(send(ends[1], "x", 1, 0), EPIPE);
            SAME(value_of(&signals), 3);
            struct msghdr message;
            memset(&message, 0, sizeof message);
            message.msg_iov = &piece;
            message.msg_iovlen = 1;
            FAILS(sendmsg(ends[1], &message, 0), EPIPE);
            SAME(value_of(&signals), 4);
        }
        SAME(close(ends[1]), 0);
        say("%s: a handler, then EPIPE", names[kind]);
    }
    signal(SIGPIPE, SIG_IGN);
    int ends[2];
    SAME(pipe(ends), 0);
    SAME(close(ends[0]), 0);
    FAILS(write(ends[1], "x", 1), EPIPE);
    say("SIG_IGN: EPIPE");
    stop_ticking();
    return 0;
}
