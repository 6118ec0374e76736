/* O_NONBLOCK belongs to the open file description, so another process that shares it (a child here)
 * can set and clear it behind our back; what this process does next goes by it at once.
 *
 * PARITY: switches=20 threads=5 */
#include "parity.h"

static int ends[2];

static void* read_one(void* argument) {
    char byte = 0;
    (void)argument;
    SAME(read(ends[0], &byte, 1), 1);
    return (void*)(intptr_t)byte;
}

/* A blocking read waits, and the flag stays as it was meanwhile. */
static void reads_blocking(void) {
    pthread_t thread = start(read_one, NULL);
    for (int i = 0; i < 5; i++) {
        wait_ticks(1);
        SAME(is_nonblocking(ends[0]), 0);
        SAME(is_nonblocking(ends[1]), 0);
    }
    SAME(write(ends[1], "b", 1), 1);
    SAME((intptr_t)join(thread), 'b');
}

static void set_by_child(int on) {
    int status;
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        set_nonblocking(ends[0], on);
        _exit(0);
    }
    SAME(waitpid(child, &status, 0), child);
    SAME(status, 0);
}

int main(void) {
    start_ticking();
    const char* const names[2] = {"pipe", "Unix"};
    for (int kind = 0; kind < 2; kind++) {
        char byte;
        if (kind == 0) SAME(pipe(ends), 0);
        if (kind == 1) unix_pair(ends);
        for (int round = 0; round < 2; round++) {
            reads_blocking();
            set_by_child(1);
            SAME(is_nonblocking(ends[0]), 1);
            FAILS(read(ends[0], &byte, 1), EAGAIN);
            set_by_child(0);
        }
        say("%s: EAGAIN when another process says so", names[kind]);
        reads_blocking();
        set_by_child(1);
        FAILS(read(ends[0], &byte, 1), EAGAIN); /* the flag was not asked for before */
        say("%s: unasked", names[kind]);
    }
    stop_ticking();
    return 0;
}
