/* Reading a terminal by VMIN and VTIME (termios(3), "Canonical and noncanonical mode"): at once,
 * after a time, for so many bytes, until a pause; others run meanwhile.
 *
 * PARITY: threads=5 offloaded=4 */
#include "parity.h"

#include <pty.h>
#include <termios.h>

static int master, terminal;

static void set(int least, int tenths) {
    struct termios t;
    SAME(tcgetattr(terminal, &t), 0);
    cfmakeraw(&t);
    t.c_cc[VMIN] = (cc_t)least;
    t.c_cc[VTIME] = (cc_t)tenths;
    SAME(tcsetattr(terminal, TCSANOW, &t), 0);
}

static void* type(void* unused) {
    wait_ticks(20);
    SAME(write(master, "abc", 3), 3);
    wait_ticks(20);
    SAME(write(master, "defgh", 5), 5);
    return unused;
}

int main(void) {
    char data[64];
    start_ticking();
    SAME(openpty(&master, &terminal, NULL, NULL, NULL), 0);

    set(0, 0);
    SAME(read(terminal, data, sizeof data), 0);
    say("0 0: nothing, at once");

    set(0, 1);
    double before = now_ms();
    long ticks_before = ticks();
    SAME(read(terminal, data, sizeof data), 0);
    TOOK(before, 100);
    CHECK(ticks() > ticks_before + 5);
    say("0 1: nothing, after a tenth of a second");

    set(0, 50);
    pthread_t typist = start(type, NULL);
    SAME(read(terminal, data, sizeof data), 3);
    SAME(read(terminal, data, sizeof data), 5);
    join(typist);
    say("0 50: what comes");

    set(5, 0);
    typist = start(type, NULL);
    SAME(read(terminal, data, sizeof data), 8);
    join(typist);
    SAME(write(master, "xy", 2), 2);
    SAME(read(terminal, data, 2), 2);
    say("5 0: five, or two if no more are wanted");

    set(20, 2);
    typist = start(type, NULL);
    struct iovec pieces[2] = {{data, 6}, {data + 6, 30}};
    SAME(readv(terminal, pieces, 2), 8);
    join(typist);
    say("20 2: until a pause");

    set(1, 0);
    typist = start(type, NULL);
    SAME(read(terminal, data, sizeof data), 3);
    SAME(read(terminal, data, sizeof data), 5);
    join(typist);
    say("1 0: what comes");

    set(0, 0);
    FILE* stream = fdopen(terminal, "r");
    SAME(fgetc(stream), EOF);
    CHECK(feof(stream));
    say("0 0: a stream's end");
    stop_ticking();
    return 0;
}
