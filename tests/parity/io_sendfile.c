/* sendfile and splice to slow readers: a big file through a socket in one loop, with and
 * without an offset; pipes in between; O_NONBLOCK of the target untouched and respected.
 *
 * PARITY: switches=10 threads=4 kernel_threads=9 */
#include "parity.h"

#include <sys/sendfile.h>

enum { SIZE = 2000000 };

static void* read_slowly(void* argument) {
    int fd = (int)(intptr_t)argument;
    char data[50000];
    size_t total = 0;
    for (ssize_t n; (n = read(fd, data, sizeof data)) != 0; total += (size_t)n) {
        CHECK(n > 0);
        CHECK(is_pattern(data, (size_t)n, total, 4));
        if (total % 7 == 0) usleep(1000);
    }
    return (void*)total;
}

static void* write_pattern(void* argument) {
    int fd = (int)(intptr_t)argument;
    char data[1000];
    for (size_t done = 0; done < SIZE; done += sizeof data) {
        fill_pattern(data, sizeof data, done, 4);
        write_all(fd, data, sizeof data);
        if (done % 500000 == 0) wait_ticks(2);
    }
    SAME(close(fd), 0);
    return NULL;
}

int main(void) {
    start_ticking();
    char name[] = "sendfile.XXXXXX";
    int file = mkstemp(name), pair[2], ends[2];
    char* data = (char*)malloc(SIZE);
    fill_pattern(data, SIZE, 0, 4);
    write_all(file, data, SIZE);
    SAME(lseek(file, 0, SEEK_SET), 0);

    for (int kind = 0; kind < 2; kind++) {
        kind ? tcp_pair(pair) : unix_pair(pair);
        pthread_t reader = start(read_slowly, (void*)(intptr_t)pair[0]);
        off_t offset = 0;
        while (offset < SIZE) {
            ssize_t n = sendfile(pair[1], file, &offset, (size_t)(SIZE - offset));
            CHECK(n > 0);
            SAME(is_nonblocking(pair[1]), 0);
        }
        SAME(sendfile(pair[1], file, &offset, 10), 0);
        SAME(lseek(file, 0, SEEK_CUR), 0);
        SAME(close(pair[1]), 0);
        SAME((long)join(reader), SIZE);
        SAME(close(pair[0]), 0);
        say("%s: sendfile", kind ? "TCP" : "Unix");
    }
    unix_pair(pair);
    fill_up(pair[1]);
    set_nonblocking(pair[1], 1);
    FAILS(sendfile(pair[1], file, NULL, 1000), EAGAIN);
    SAME(close(pair[0]), 0);
    SAME(close(pair[1]), 0);
    say("EAGAIN");

    tcp_pair(pair);
    SAME(pipe(ends), 0);
    int input[2];
    SAME(pipe(input), 0);
    pthread_t writer = start(write_pattern, (void*)(intptr_t)input[1]);
    pthread_t reader = start(read_slowly, (void*)(intptr_t)pair[0]);
    long total = 0;
    ssize_t n;
    while ((n = splice(input[0], NULL, ends[1], NULL, 65536, 0)) != 0) {
        CHECK(n > 0);
        for (ssize_t left = n; left > 0;) {
            ssize_t m = splice(ends[0], NULL, pair[1], NULL, (size_t)left, SPLICE_F_MORE);
            CHECK(m > 0);
            left -= m;
        }
        total += n;
    }
    SAME(total, SIZE);
    FAILS(splice(ends[0], NULL, pair[1], NULL, 10, SPLICE_F_NONBLOCK), EAGAIN);
    join(writer);
    SAME(close(pair[1]), 0);
    SAME((long)join(reader), SIZE);
    say("splice");
    SAME(unlink(name), 0);
    free(data);
    stop_ticking();
    return 0;
}
