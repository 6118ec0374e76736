/* readv and writev on sockets, pipes and files: pieces filled in order, empty pieces, a short read
 * that ends inside a piece, a reader that waits; preadv and pwritev; the limits.
 *
 * PARITY: switches=6 threads=2 */
#include "parity.h"

static int ends[2];

static void* write_vector(void* argument) {
    (void)argument;
    wait_ticks(3);
    char a[] = "one", b[] = "", c[] = "twenty-two";
    struct iovec pieces[3] = {{a, 3}, {b, 0}, {c, 10}};
    SAME(writev(ends[1], pieces, 3), 13);
    return NULL;
}

static void through(const char* kind) {
    char a[4] = "", b[6] = "", c[20] = "";
    struct iovec pieces[4] = {{a, 3}, {NULL, 0}, {b, 5}, {c, 19}};
    pthread_t thread = start(write_vector, NULL);
    SAME(readv(ends[0], pieces, 4), 13);
    join(thread);
    say("%s: [%s] [%s] [%s]", kind, a, b, c);
    thread = start(write_vector, NULL);
    pieces[0].iov_len = 2;
    SAME(readv(ends[0], pieces, 1), 2);
    join(thread);
    SAME(readv(ends[0], pieces, 4), 11);
    CHECK(memcmp(a, "et", 2) == 0 && memcmp(b, "wenty", 5) == 0 && memcmp(c, "-two", 4) == 0);
    FAILS(readv(ends[0], pieces, hidden(-1)), EINVAL);
    FAILS(readv(ends[0], pieces, hidden(IOV_MAX + 1)), EINVAL);
    pieces[1].iov_len = (size_t)SSIZE_MAX + 1;
    FAILS(readv(ends[0], pieces, 4), EINVAL);
    SAME(writev(ends[1], pieces, 0), 0);
    SAME(close(ends[1]), 0);
    pieces[1].iov_len = 0;
    SAME(readv(ends[0], pieces, 4), 0);
    FAILS(readv(ends[1], pieces, 1), EBADF);
    SAME(close(ends[0]), 0);
}

int main(void) {
    start_ticking();
    tcp_pair(ends);
    through("TCP");
    unix_pair(ends);
    through("Unix");
    SAME(pipe(ends), 0);
    through("pipe");

    char name[] = "vectors.XXXXXX", a[5] = "", b[5] = "";
    int fd = mkstemp(name);
    CHECK(fd >= 0);
    struct iovec pieces[2] = {{a, 4}, {b, 4}};
    SAME(pwrite(fd, "0123456789", 10, 0), 10);
    SAME(preadv(fd, pieces, 2, 3), 7);
    say("file: [%s] [%s]", a, b);
    SAME(pwritev(fd, pieces, 2, 1), 8);
    SAME(lseek(fd, 0, SEEK_CUR), 0);
    SAME(readv(fd, pieces, 2), 8);
    say("file: [%s] [%s]", a, b);
    SAME(preadv(fd, pieces, 2, 100), 0);
    FAILS(preadv(fd, pieces, 2, -1), EINVAL);
    SAME(unlink(name), 0);
    stop_ticking();
    return 0;
}
