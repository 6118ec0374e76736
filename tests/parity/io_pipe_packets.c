/* A pipe in packet mode, O_DIRECT of pipe2(2) and of fcntl(2): each read takes one packet, however
 * many there are, and at once. */
#include "parity.h"

static int ends[2];

static void read_packets(const char* name) {
    char data[100];
    SAME(write(ends[1], "abc", 3), 3);
    SAME(write(ends[1], "de", 2), 2);
    SAME(write(ends[1], "f", 1), 1);
    double before = now_ms();
    SAME(read(ends[0], data, sizeof data), 3);
    SAME(read(ends[0], data, sizeof data), 2);
    SAME(read(ends[0], data, sizeof data), 1);
    CHECK(now_ms() - before < 800);
    say("%s: three packets", name);
}

int main(void) {
    start_ticking();
    SAME(pipe2(ends, O_DIRECT), 0);
    read_packets("pipe2");
    SAME(pipe(ends), 0);
    SAME(fcntl(ends[1], F_SETFL, O_DIRECT), 0);
    read_packets("fcntl");
    stop_ticking();
    return 0;
}
