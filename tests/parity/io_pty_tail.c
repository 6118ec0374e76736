/* A write to a terminal that nobody reads fills all the room that there is: one that cannot go on
 * tells of the part that is out when the other side closes, and who reads finds that part.
 *
 * PARITY: switches=4 threads=2 timeout=20
 */
#include "parity.h"

#include <pty.h>
#include <termios.h>

enum { PIECE = 100 };
static int master, slave;
static long writes;

static void* write_pieces(void* unused) {
    static char piece[PIECE];
    for (;;) {
        ssize_t r = write(slave, piece, PIECE);
        if (r != PIECE) {
            say("  the last write: %s", r > 0 ? "a part" : parity_errno_name(errno));
            return unused;
        }
        add_to(&writes, 1);
    }
}

static void until_full(void) {
    long before = -1;
    while (before != value_of(&writes)) {
        before = value_of(&writes);
        wait_ticks(50);
    }
}

int main(void) {
    start_ticking();
    for (int reads = 0; reads < 2; ++reads) {
        struct termios raw;
        SAME(openpty(&master, &slave, NULL, NULL, NULL), 0);
        SAME(tcgetattr(slave, &raw), 0);
        cfmakeraw(&raw);
        SAME(tcsetattr(slave, TCSANOW, &raw), 0);
        set_to(&writes, 0);
        say(reads ? "read from" : "closed");
        pthread_t thread = start(write_pieces, NULL);
        until_full();
        if (reads) {
            char* all = malloc(1 << 20);
            SAME(fcntl(master, F_SETFL, O_NONBLOCK), 0);
            long full = value_of(&writes), got = 0;
            while (got <= full * PIECE) {
                ssize_t r = read(master, all, 1 << 20);
                if (r > 0) got += r;
                if (r < 0) wait_ticks(1);
            }
            say("  more than the whole pieces");
            free(all);
            until_full();
        }
        close(master);
        join(thread);
        close(slave);
    }
    stop_ticking();
    return 0;
}
