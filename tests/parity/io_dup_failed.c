/* dup2, dup3 and close_range that fail leave the descriptor alone, also for those who wait on it.
 *
 * PARITY: switches=5 threads=2 */
#include "parity.h"

static int pair[2];
static long waiting;

static void* receive(void* argument) {
    char byte;
    set_to(&waiting, 1);
    SAME(read(pair[0], &byte, 1), 1);
    SAME(byte, 'x');
    return argument;
}

int main(void) {
    start_ticking();
    unix_pair(pair);
    pthread_t thread = start(receive, NULL);
    wait_for(&waiting, 1);
    wait_ticks(5);
    FAILS(dup2(hidden(777), pair[0]), EBADF);
    FAILS(dup3(hidden(777), pair[0], 0), EBADF);
    FAILS(dup3(1, pair[0], hidden(12345)), EINVAL);
    FAILS(dup3(pair[0], pair[0], 0), EINVAL);
    SAME(dup2(pair[0], pair[0]), pair[0]);
    FAILS(close_range(3, 1000, hidden(1 << 20)), EINVAL);
    FAILS(close_range(1000, 3, 0), EINVAL);
    wait_ticks(5);
    SAME(write(pair[1], "x", 1), 1);
    join(thread);
    say("the waiter has waited on");
    stop_ticking();
    return 0;
}
