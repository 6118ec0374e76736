/* A writer that finds no room in a pipe, of which another process reads at that very moment, by a
 * number by which nobody has waited before: all is written.
 *
 * PARITY: switches=4 threads=2 timeout=60
 */
#include "parity.h"

enum { ROUNDS = 10000, PAGE = 4096, SIZE = 4 * PAGE };
static int ends[2];
static char data[SIZE];

static void* write_each(void* unused) {
    for (int i = 0; i < ROUNDS; ++i) {
        int fd = dup(ends[1]);
        SAME(write(fd, data, SIZE), SIZE);
        close(fd);
    }
    return unused;
}

static void read_all_of_it(void) {
    static char page[PAGE];
    close(ends[1]);
    set_nonblocking(ends[0], 1);
    for (long left = (long)ROUNDS * SIZE; left > 0;) {
        ssize_t r = read(ends[0], page, sizeof page);
        if (r == 0) _exit(1);
        if (r > 0) left -= r;
    }
    _exit(0);
}

int main(void) {
    SAME(pipe(ends), 0);
    SAME(fcntl(ends[1], F_SETPIPE_SZ, PAGE), PAGE);
    pid_t reader = fork();
    if (reader == 0) read_all_of_it();
    start_ticking();
    join(start(write_each, NULL));
    int status;
    SAME(waitpid(reader, &status, 0), reader);
    say("all read: %d", status);
    stop_ticking();
    return 0;
}
