/* Writes into a FIFO that are longer than it takes at once, through descriptors opened O_WRONLY and
 * O_RDWR: write and writev wait until all is written, while the reader reads in small pieces and
 * others tick; a reader that closes ends such a write with the bytes it took or EPIPE.
 *
 * PARITY: switches=50 threads=4 kernel_threads=9 */
#include "parity.h"

enum { SIZE = 1000000 };

static const char* const path = "fifo";
static unsigned char out[SIZE];

static void* read_everything(void* argument) {
    int fd = (int)(intptr_t)argument;
    unsigned char data[3000];
    wait_ticks(10); /* the writer is waiting by now */
    for (size_t total = 0; total < SIZE;) {
        ssize_t n = read(fd, data, sizeof data);
        CHECK(n > 0);
        CHECK(is_pattern(data, (size_t)n, total, 7));
        total += (size_t)n;
    }
    return NULL;
}

static void* read_a_little_and_close(void* argument) {
    int fd = (int)(intptr_t)argument;
    char data[100];
    wait_ticks(10);
    SAME(read(fd, data, sizeof data), sizeof data);
    wait_ticks(10);
    SAME(close(fd), 0);
    return NULL;
}

int main(void) {
    start_ticking();
    signal(SIGPIPE, SIG_IGN);
    fill_pattern(out, SIZE, 0, 7);
    SAME(mkfifo(path, 0600), 0);
    int both = open(path, O_RDWR), reader = open(path, O_RDONLY);
    int writer = open(path, O_WRONLY);
    CHECK(both >= 0 && reader >= 0 && writer >= 0);

    pthread_t thread = start(read_everything, (void*)(intptr_t)reader);
    SAME(write(writer, out, SIZE), SIZE);
    join(thread);
    say("O_WRONLY, write");
    thread = start(read_everything, (void*)(intptr_t)reader);
    SAME(write(both, out, SIZE), SIZE);
    join(thread);
    say("O_RDWR, write");
    struct iovec parts[3] = {{out, 1}, {out + 1, SIZE / 2}, {out + 1 + SIZE / 2, SIZE / 2 - 1}};
    thread = start(read_everything, (void*)(intptr_t)reader);
    SAME(writev(writer, parts, 3), SIZE);
    join(thread);
    say("O_WRONLY, writev");
    SAME(close(both), 0);

    size_t capacity = (size_t)fcntl(writer, F_GETPIPE_SZ);
    thread = start(read_a_little_and_close, (void*)(intptr_t)reader);
    ssize_t n = write(writer, out, SIZE);
    CHECK(n >= (ssize_t)capacity && n <= (ssize_t)capacity + 4096);
    join(thread);
    FAILS(write(writer, out, SIZE), EPIPE);
    SAME(close(writer), 0);
    SAME(unlink(path), 0);
    say("the reader went");
    stop_ticking();
    return 0;
}
