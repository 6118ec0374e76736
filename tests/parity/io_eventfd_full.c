/* A full eventfd: writing 0 adds nothing and does not wait, what is no number is refused at once.
 *
 * PARITY: threads=1 */
#include "parity.h"

#include <sys/eventfd.h>
#include <sys/uio.h>

static void* run(void* argument) {
    int fd = eventfd(0, 0);
    uint64_t number = UINT64_MAX - 1;
    SAME(write(fd, &number, 8), 8);
    number = 0;
    struct iovec piece = {&number, 8};
    SAME(write(fd, &number, 8), 8);
    SAME(writev(fd, &piece, 1), 8);
    SAME(eventfd_write(fd, 0), 0);
    FAILS(write(fd, &number, hidden(4)), EINVAL);
    number = UINT64_MAX;
    FAILS(write(fd, &number, 8), EINVAL);
    SAME(read(fd, &number, 8), 8);
    SAME(number, UINT64_MAX - 1);
    SAME(is_nonblocking(fd), 0);
    say("no wait");
    return argument;
}

int main(void) {
    join(start(run, NULL));
    return 0;
}
