/* Streams whose calls are no cancellation points (fopen's "c"), on a FIFO: opening waits for the
 * other end, reading for a line, writing for room; the rest goes on. libc has inner functions for
 * these that are not its read and write.
 *
 * PARITY: switches=5 threads=3 kernel_threads=16 */
#include "parity.h"

#include <fcntl.h>
#include <sys/stat.h>

enum { BIG = 300000 };
static const char* const path = "fifo";

static void* write_late(void* unused) {
    (void)unused;
    wait_ticks(5);
    int fd = open(path, O_WRONLY);
    CHECK(fd >= 0);
    wait_ticks(5);
    SAME(write(fd, "hello\n", 6), 6);
    SAME(close(fd), 0);
    return NULL;
}

static void* read_late(void* unused) {
    (void)unused;
    static char data[BIG];
    wait_ticks(5);
    int fd = open(path, O_RDONLY);
    CHECK(fd >= 0);
    wait_ticks(5);
    SAME(read_all(fd, data, BIG), BIG);
    SAME(close(fd), 0);
    return NULL;
}

int main(void) {
    SAME(mkfifo(path, 0600), 0);
    start_ticking();
    pthread_t other = start(write_late, NULL);
    FILE* file = fopen(path, "rc");
    CHECK(file != NULL);
    char line[16];
    CHECK(fgets(line, sizeof line, file) != NULL);
    say("read %s", line);
    CHECK(fgets(line, sizeof line, file) == NULL);
    SAME(fclose(file), 0);
    join(other);

    other = start(read_late, NULL);
    file = fopen(path, "wc");
    CHECK(file != NULL);
    static char data[BIG];
    SAME(fwrite(data, 1, BIG, file), BIG);
    SAME(fclose(file), 0);
    join(other);
    stop_ticking();
    say("written\n");
    return 0;
}
