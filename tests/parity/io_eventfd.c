/* eventfd between threads: read waits for a number, write for room; semaphore mode gives one at a
 * time to each waiting reader; poll; eventfd_read and eventfd_write; the errors.
 *
 * PARITY: switches=10 threads=8 */
#include "parity.h"

#include <sys/eventfd.h>

static int fd;

static void* write_soon(void* argument) {
    wait_ticks(3);
    SAME(eventfd_write(fd, (eventfd_t)(uintptr_t)argument), 0);
    return NULL;
}

static void* take_one(void* argument) {
    uint64_t number = 0;
    (void)argument;
    SAME(read(fd, &number, sizeof number), sizeof number);
    SAME(number, 1);
    return NULL;
}

static void* empty_soon(void* argument) {
    uint64_t number = 0;
    (void)argument;
    wait_ticks(3);
    SAME(read(fd, &number, 8), 8);
    SAME(number, UINT64_MAX - 1);
    return NULL;
}

int main(void) {
    start_ticking();
    uint64_t number;
    fd = eventfd(0, 0);
    for (uintptr_t i = 1; i <= 3; i++) {
        pthread_t thread = start(write_soon, (void*)(i * 100));
        SAME(read(fd, &number, sizeof number), 8);
        SAME(number, i * 100);
        join(thread);
    }
    say("read waits for write");

    number = UINT64_MAX - 1;
    SAME(write(fd, &number, 8), 8);
    struct pollfd ready = {fd, POLLIN | POLLOUT, 0};
    SAME(poll(&ready, 1, 0), 1);
    SAME(ready.revents, POLLIN);
    pthread_t thread = start(empty_soon, NULL);
    number = 5;
    SAME(write(fd, &number, 8), 8); /* waits until there is room */
    join(thread);
    SAME(eventfd_read(fd, &number), 0);
    SAME(number, 5);
    say("write waits for read");

    char short_room[4];
    FAILS(write(fd, short_room, hidden(4)), EINVAL);
    number = UINT64_MAX;
    FAILS(write(fd, &number, 8), EINVAL);
    SAME(close(fd), 0);
    say("EINVAL");

    fd = eventfd(2, EFD_SEMAPHORE);
    pthread_t takers[5];
    for (int i = 0; i < 5; i++) takers[i] = start(take_one, NULL);
    wait_ticks(3);
    SAME(eventfd_write(fd, 3), 0);
    for (int i = 0; i < 5; i++) join(takers[i]);
    ready.events = POLLIN;
    SAME(poll(&ready, 1, 0), 0);
    say("a semaphore for five");
    stop_ticking();
    return 0;
}
