/* A descriptor is closed while another thread reads from it, and its number is used again for
 * something new. What arrives at the new one is for the new one's readers; the old reader never
 * sees it. (How the old read ends is the one thing this does not say: with EBADF, or later when the
 * other side goes.)
 *
 * PARITY: switches=20 threads=11 */
#include "parity.h"

static long reading;

static void* old_reader(void* argument) {
    char data[16];
    int fd = (int)(intptr_t)argument;
    add_to(&reading, 1);
    CHECK(read(fd, data, sizeof data) <= 0);
    return NULL;
}

static void* old_poller(void* argument) {
    struct pollfd one = {(int)(intptr_t)argument, POLLIN, 0};
    add_to(&reading, 1);
    poll(&one, 1, 200);
    return NULL;
}

static void* new_reader(void* argument) {
    char data[16];
    SAME(read((int)(intptr_t)argument, data, sizeof data), 6);
    SAME(memcmp(data, "secret", 6), 0);
    return NULL;
}

static void make_pipe(int pair[2]) { SAME(pipe(pair), 0); }

static void reuse(const char* what, void (*make)(int*), parity_body body) {
    int old_pair[2], new_pair[2];
    char data[16];
    make(old_pair);
    set_to(&reading, 0);
    pthread_t old_thread = start(body, (void*)(intptr_t)old_pair[0]);
    wait_for(&reading, 1);
    wait_ticks(10);
    int number = old_pair[0];
    SAME(close(number), 0);
    make(new_pair);
    if (new_pair[0] != number) {
        SAME(dup2(new_pair[0], number), number);
        SAME(close(new_pair[0]), 0);
    }
    wait_ticks(10);
    SAME(write(new_pair[1], "secret", 6), 6);
    wait_ticks(10);
    SAME(read(number, data, sizeof data), 6);
    SAME(memcmp(data, "secret", 6), 0);
    pthread_t new_thread = start(new_reader, (void*)(intptr_t)number);
    wait_ticks(10);
    SAME(write(new_pair[1], "secret", 6), 6);
    join(new_thread);
    SAME(close(old_pair[1]), 0);
    join(old_thread);
    SAME(close(number), 0);
    SAME(close(new_pair[1]), 0);
    say("%s: the new descriptor's reader got it", what);
}

int main(void) {
    start_ticking();
    reuse("unix sockets", unix_pair, old_reader);
    reuse("pipes", make_pipe, old_reader);
    reuse("tcp sockets", tcp_pair, old_reader);
    reuse("poll, unix sockets", unix_pair, old_poller);
    reuse("poll, pipes", make_pipe, old_poller);
    stop_ticking();
    return 0;
}
