/* A program that would use liburing if there were one finds that it cannot.
 *
 * PARITY: switches=1 threads=1 */
#include "parity.h"

extern int io_uring_queue_init(unsigned, void*, unsigned) __attribute__((weak));

static void* body(void* argument) {
    char ring[216] = {0};
    int r = io_uring_queue_init == NULL ? -ENOSYS : io_uring_queue_init(4, ring, 0);
    say("%s", strerror(-r));
    return argument;
}

int main(void) {
    body(NULL);
    join(start(body, NULL));
    return 0;
}
