/* FIFOs which are opened without waiting (O_NONBLOCK, O_RDWR) and then used blocking: readers wait
 * for data and get the end when the writer goes, a FIFO opened for both never ends, a new writer
 * brings a FIFO back to life; ENXIO without a reader.
 *
 * PARITY: switches=10 threads=4 kernel_threads=9 */
#include "parity.h"

static const char* const path = "fifo";

static void* write_words(void* argument) {
    int fd = (int)(intptr_t)argument;
    for (int i = 0; i < 5; i++) {
        wait_ticks(2);
        SAME(write(fd, "word", 4), 4);
    }
    SAME(close(fd), 0);
    return NULL;
}

int main(void) {
    start_ticking();
    SAME(mkfifo(path, 0600), 0);
    FAILS(open(path, O_WRONLY | O_NONBLOCK), ENXIO);
    int reader = open(path, O_RDONLY | O_NONBLOCK);
    CHECK(reader >= 0);
    char data[64];
    SAME(read(reader, data, sizeof data), 0); /* no writer yet */
    for (int round = 0; round < 3; round++) {
        int writer = open(path, O_WRONLY);
        CHECK(writer >= 0);
        FAILS(read(reader, data, sizeof data), EAGAIN);
        set_nonblocking(reader, 0);
        pthread_t thread = start(write_words, (void*)(intptr_t)writer);
        size_t total = 0;
        for (ssize_t n; (n = read(reader, data, 3)) != 0; total += (size_t)n) CHECK(n > 0);
        SAME(total, 20);
        SAME(read(reader, data, sizeof data), 0);
        join(thread);
        set_nonblocking(reader, 1);
        SAME(read(reader, data, sizeof data), 0);
        say("round %d: %zu bytes and the end", round, total);
    }
    SAME(close(reader), 0);
    reader = open(path, O_RDONLY | O_NONBLOCK);
    CHECK(reader >= 0);
    set_nonblocking(reader, 0);
    SAME(read(reader, data, sizeof data), 0); /* nobody has written yet */
    say("the end before the beginning");
    SAME(close(reader), 0);

    int both = open(path, O_RDWR);
    CHECK(both >= 0);
    pthread_t thread = start(write_words, (void*)(intptr_t)dup(both));
    SAME(read_all(both, data, 20), 20);
    join(thread);
    set_nonblocking(both, 1);
    FAILS(read(both, data, 1), EAGAIN); /* no end: this descriptor is a writer itself */
    set_nonblocking(both, 0);
    thread = start(write_words, (void*)(intptr_t)open(path, O_WRONLY));
    struct pollfd ready = {both, POLLIN, 0};
    SAME(poll(&ready, 1, -1), 1);
    SAME(read_all(both, data, 20), 20);
    join(thread);
    SAME(close(both), 0);
    SAME(unlink(path), 0);
    say("opened for both");
    stop_ticking();
    return 0;
}
