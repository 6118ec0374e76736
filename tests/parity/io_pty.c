/* A pseudo-terminal in raw mode: long writes of either side wait for the other side to read, reads
 * wait for data, lines arrive one by one in the usual mode, and the master's end hangs up the
 * slave; all the while others tick.
 *
 * PARITY: switches=20 threads=1 kernel_threads=9 */
#include "parity.h"

#include <pty.h>
#include <termios.h>

enum { SIZE = 200000 };

static unsigned char out[SIZE];

static void* read_everything(void* argument) {
    int fd = (int)(intptr_t)argument;
    unsigned char data[4096];
    wait_ticks(10); /* the writer is waiting by now */
    for (size_t total = 0; total < SIZE;) {
        ssize_t n = read(fd, data, sizeof data);
        CHECK(n > 0);
        CHECK(is_pattern(data, (size_t)n, total, 3));
        total += (size_t)n;
    }
    return NULL;
}

static void* type_lines(void* argument) {
    int fd = (int)(intptr_t)argument;
    wait_ticks(10);
    SAME(write(fd, "first line\n", 11), 11);
    wait_ticks(10);
    SAME(write(fd, "second line\n", 12), 12);
    wait_ticks(10);
    SAME(close(fd), 0);
    return NULL;
}

static void* hang_up_a_reader(void* argument) {
    sleep_ms(100);
    wait_ticks(10);
    SAME(close((int)(intptr_t)argument), 0);
    return NULL;
}

int main(void) {
    int master = -1, slave = -1;
    struct termios mode, raw;
    start_ticking();
    if (openpty(&master, &slave, NULL, NULL, NULL) != 0) {
        say("no pseudo-terminals here");
        stop_ticking();
        return 0;
    }
    fill_pattern(out, SIZE, 0, 3);
    SAME(tcgetattr(slave, &mode), 0);
    raw = mode;
    cfmakeraw(&raw);
    SAME(tcsetattr(slave, TCSANOW, &raw), 0);

    pthread_t thread = start(read_everything, (void*)(intptr_t)master);
    SAME(write(slave, out, SIZE), SIZE);
    join(thread);
    say("slave to master");
    thread = start(read_everything, (void*)(intptr_t)slave);
    write_all(master, out, SIZE);
    join(thread);
    say("master to slave");

    char line[64] = "";
    mode.c_lflag &= ~(tcflag_t)ECHO;
    SAME(tcsetattr(slave, TCSANOW, &mode), 0);
    thread = start(type_lines, (void*)(intptr_t)master);
    SAME(read(slave, line, sizeof line), 11);
    SAME(memcmp(line, "first line\n", 11), 0);
    struct pollfd ready = {slave, POLLIN, 0};
    SAME(poll(&ready, 1, -1), 1);
    SAME(read(slave, line, sizeof line), 12);
    SAME(memcmp(line, "second line\n", 12), 0);
    ssize_t n = read(slave, line, sizeof line); /* which: did it begin before the hangup? */
    CHECK(n == 0 || (n < 0 && errno == EIO));
    SAME(read(slave, line, sizeof line), 0);
    join(thread);
    SAME(close(slave), 0);
    say("lines and the hangup");

    SAME(openpty(&master, &slave, NULL, NULL, NULL), 0);
    thread = start(hang_up_a_reader, (void*)(intptr_t)master);
    FAILS(read(slave, line, sizeof line), EIO);
    SAME(read(slave, line, sizeof line), 0);
    join(thread);
    SAME(close(slave), 0);
    say("a reader that waits is told of the hangup");
    stop_ticking();
    return 0;
}
