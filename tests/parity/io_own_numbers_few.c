/* A program that may have few descriptors: its own have the lowest numbers beside threads, too.
 *
 * PARITY: switches=1 threads=1 */
#include "parity.h"

#include <sys/resource.h>

static void* body(void* argument) {
    int ends[2];
    SAME(pipe(ends), 0);
    say("%d %d", ends[0], ends[1]);
    return argument;
}

int main(void) {
    struct rlimit few = {24, 24};
    SAME(setrlimit(RLIMIT_NOFILE, &few), 0);
    body(NULL);
    join(start(body, NULL));
    body(NULL);
    return 0;
}
