/* Regular files, /dev/zero and directories beside waiting threads: contents, offsets, O_APPEND by
 * many threads, pread and pwrite, the end, truncation, sync, poll says ready.
 *
 * PARITY: switches=5 threads=9 kernel_threads=9 */
#include "parity.h"

enum { WRITERS = 8, LINES = 100 };

static int file;

static void* append_lines(void* argument) {
    char line[16];
    for (int i = 0; i < LINES; i++) {
        int length = snprintf(line, sizeof line, "%d %06d\n", (int)(intptr_t)argument, i);
        SAME(write(file, line, (size_t)length), length);
        if (i % 25 == 0) wait_ticks(1);
    }
    return NULL;
}

static void* write_blocks(void* argument) {
    size_t part = (size_t)(intptr_t)argument;
    static char blocks[WRITERS][30000];
    fill_pattern(blocks[part], 30000, part * 30000, 6);
    SAME(pwrite(file, blocks[part], 30000, (off_t)(part * 30000)), 30000);
    return NULL;
}

static void with_threads(parity_body body) {
    pthread_t threads[WRITERS];
    for (int i = 0; i < WRITERS; i++) threads[i] = start(body, (void*)(intptr_t)i);
    for (int i = 0; i < WRITERS; i++) join(threads[i]);
}

int main(void) {
    start_ticking();
    char name[] = "files.XXXXXX";
    file = mkostemp(name, O_APPEND);
    CHECK(file >= 0);
    with_threads(append_lines);
    FILE* stream = fopen(name, "r");
    int next[WRITERS] = {0}, who, number;
    while (fscanf(stream, "%d %d", &who, &number) == 2) SAME(number, next[who]++);
    for (int i = 0; i < WRITERS; i++) SAME(next[i], LINES);
    SAME(fclose(stream), 0);
    SAME(close(file), 0);
    say("lines appended by %d threads", WRITERS);

    file = open(name, O_RDWR | O_TRUNC | O_CLOEXEC);
    with_threads(write_blocks);
    struct stat facts;
    SAME(fstat(file, &facts), 0);
    SAME(facts.st_size, WRITERS * 30000);
    char* all = (char*)malloc(300000);
    SAME(read(file, all, 300000), WRITERS * 30000);
    CHECK(is_pattern(all, WRITERS * 30000, 0, 6));
    SAME(read(file, all, 1), 0);
    SAME(pread(file, all, 100, 12345), 100);
    CHECK(is_pattern(all, 100, 12345, 6));
    SAME(fsync(file), 0);
    SAME(fdatasync(file), 0);
    SAME(ftruncate(file, 10), 0);
    SAME(lseek(file, 0, SEEK_SET), 0);
    SAME(read(file, all, 300000), 10);
    struct pollfd ready = {file, POLLIN | POLLOUT, 0};
    SAME(poll(&ready, 1, -1), 1);
    SAME(ready.revents, POLLIN | POLLOUT);
    set_nonblocking(file, 1);
    SAME(read(file, all, 10), 0);
    SAME(write(file, "more", 4), 4);
    say("blocks, the end, truncation");

    int zero = open("/dev/zero", O_RDONLY);
    memset(all, 1, 300000);
    SAME(read(zero, all, 300000), 300000);
    for (int i = 0; i < 300000; i++) SAME(all[i], 0);
    SAME(close(zero), 0);
    SAME(unlink(name), 0);
    free(all);
    say("/dev/zero");
    stop_ticking();
    return 0;
}
