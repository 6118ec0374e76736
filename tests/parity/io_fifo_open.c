/* Opening a FIFO waits for the other end: a thread in open(O_RDONLY) for one in open(O_WRONLY) and
 * the other way round, while the rest goes on; by open, openat and fopen.
 *
 * PARITY: switches=5 threads=3 kernel_threads=16 */
#include "parity.h"

static const char* const path = "fifo";

static void* open_writer(void* argument) {
    int late = argument != NULL;
    if (late) wait_ticks(5);
    int fd = open(path, O_WRONLY);
    CHECK(fd >= 0);
    SAME(write(fd, "hello\n", 6), 6);
    SAME(close(fd), 0);
    return NULL;
}

int main(void) {
    start_ticking();
    SAME(mkfifo(path, 0600), 0);
    char data[16];
    for (int round = 0; round < 4; round++) {
        int reader_first = round % 2;
        pthread_t thread = start(open_writer, reader_first ? &reader_first : NULL);
        if (!reader_first) wait_ticks(5); /* the writer is waiting */
        int fd = round < 2 ? open(path, O_RDONLY) : openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
        CHECK(fd >= 0);
        SAME(read_all(fd, data, 6), 6);
        SAME(read(fd, data, 6), 0);
        join(thread);
        SAME(close(fd), 0);
        say("%s first", reader_first ? "reader" : "writer");
    }
    pthread_t thread = start(open_writer, &thread);
    FILE* stream = fopen(path, "r");
    CHECK(stream != NULL);
    CHECK(fgets(data, sizeof data, stream) != NULL);
    SAME(strcmp(data, "hello\n"), 0);
    CHECK(fgets(data, sizeof data, stream) == NULL);
    SAME(fclose(stream), 0);
    join(thread);
    SAME(unlink(path), 0);
    say("fopen");
    stop_ticking();
    return 0;
}
