/* select and pselect told of as many descriptors as there may be, with sets of the usual size: none
 * looks or writes beyond what this program can have opened; before the first thread, beside others
 * and in the child of a fork.
 *
 * PARITY: switches=10 threads=1 */
#include "parity.h"

#include <sys/resource.h>

static struct {
    fd_set set;
    unsigned char behind[16384];
} sets;

static int ends[2];

static void look(const char* when, int count) {
    memset(&sets, 0xa5, sizeof sets);
    FD_ZERO(&sets.set);
    FD_SET(ends[0], &sets.set);
    struct timeval time = timeval_ms(20);
    SAME(select(count, &sets.set, NULL, NULL, &time), 1);
    FD_ZERO(&sets.set);
    FD_SET(ends[1], &sets.set);
    struct timespec ns = {0, 20000000};
    SAME(pselect(count, NULL, &sets.set, NULL, &ns, NULL), 1);
    FD_ZERO(&sets.set);
    FD_SET(ends[1], &sets.set);
    time = timeval_ms(20);
    SAME(select(count, &sets.set, NULL, NULL, &time), 0);
    for (size_t i = 0; i < sizeof sets.behind; i++) SAME(sets.behind[i], 0xa5);
    say("%s", when);
}

static void look_at_all(const char* when) {
    look(when, 1100);
    look(when, 4096);
    look(when, 70000);
}

int main(void) {
    SAME(pipe(ends), 0);
    SAME(write(ends[1], "x", 1), 1);
    look_at_all("alone");
    start_ticking();
    look_at_all("beside others");
    stop_ticking();
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        look_at_all("in a child");
        fflush(stdout);
        _exit(0);
    }
    int status = -1;
    SAME(waitpid(child, &status, 0), child);
    SAME(status, 0);
    return 0;
}
