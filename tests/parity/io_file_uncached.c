/* A file is read that is not in the page cache, whole, in pieces, at positions and into several
 * buffers: every byte is right, the end of the file is the end, and each read is one call although
 * a part of it may have come from the cache and a part from the disk.
 *
 * PARITY: switches=1 threads=1 offloaded=1 kernel_threads=17 */
#include "parity.h"

enum { size = 3 << 20, page = 4096 };
static unsigned char expected[size], got[size + 1];
static int file;
static volatile int minus_one = -1; /* compilers know better than to pass one */

static void* sleeper(void* unused) {
    pause();
    return unused;
}

static void fill(void) {
    uint32_t x = 1;
    for (int i = 0; i < size; ++i)
        expected[i] = (unsigned char)((x = x * 1664525 + 1013904223) >> 24);
    SAME(write(file, expected, size), size);
}

static void forget(void) {
    SAME(fsync(file), 0);
    SAME(posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED), 0);
    SAME(lseek(file, 0, SEEK_SET), 0);
}

static void same_bytes(off_t at, size_t count) {
    CHECK(memcmp(got, expected + at, count) == 0);
    memset(got, 0, sizeof got);
}

int main(void) {
    pthread_t thread;
    file = open("file", O_RDWR | O_CREAT | O_TRUNC, 0600);
    CHECK(file >= 0);
    fill();
    SAME(pthread_create(&thread, NULL, sleeper, NULL), 0);
    sleep_ms(1);

    forget();
    SAME(read(file, got, sizeof got), size);
    same_bytes(0, size);
    SAME(read(file, got, sizeof got), 0);
    say("whole");

    forget();
    for (int at = 0; at < size; at += 100000) {
        long want = size - at < 100000 ? size - at : 100000;
        SAME(read(file, got, 100000), want);
        same_bytes(at, (size_t)want);
    }
    say("in pieces");

    forget();
    SAME(pread(file, got, page, 10 * page), page); /* now a part is cached */
    same_bytes(10 * page, page);
    SAME(pread(file, got, size, 7), size - 7);
    same_bytes(7, size - 7);
    SAME(pread(file, got, page, size), 0);
    FAILS(pread(file, got, page, -1), EINVAL);
    SAME(lseek(file, 0, SEEK_CUR), 0);
    say("at positions");

    forget();
    struct iovec v[3] = {{got, 5}, {got + 5, 0}, {got + 5, size - 5}};
    SAME(readv(file, v, 3), size);
    same_bytes(0, size);
    forget();
    SAME(preadv(file, v, 3, 1), size - 1);
    same_bytes(1, size - 1);
    FAILS(preadv(file, v, minus_one, 1), EINVAL);
    say("into several buffers");

    FILE* stream = fdopen(file, "r");
    forget();
    SAME(fread(got, 1, sizeof got, stream), size);
    same_bytes(0, size);
    SAME(feof(stream) != 0, 1);
    say("by a stream");
    FAILS(pread(99, got, 1, 0), EBADF);
    exit(0);
}
