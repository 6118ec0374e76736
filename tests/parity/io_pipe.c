/* Pipes: a reader waits for a writer and a writer for a reader; writes up to PIPE_BUF are never
 * torn although many threads write; all of a big write arrives; the end when the last writer
 * closes; non-blocking writes are all or nothing up to PIPE_BUF and partial above; a resized pipe.
 *
 * PARITY: switches=50 threads=11 */
#include "parity.h"

enum { WRITERS = 8, RECORDS = 50, RECORD = 1024 };

static int ends[2];

static void* write_records(void* argument) {
    char record[RECORD];
    memset(record, 'a' + (int)(intptr_t)argument, sizeof record);
    for (int i = 0; i < RECORDS; i++) SAME(write(ends[1], record, sizeof record), sizeof record);
    return NULL;
}

static void whole_records(void) {
    pthread_t writers[WRITERS];
    SAME(pipe(ends), 0);
    for (int i = 0; i < WRITERS; i++) writers[i] = start(write_records, (void*)(intptr_t)i);
    int count[WRITERS] = {0};
    char record[RECORD];
    wait_ticks(5); /* the pipe is full, writers are blocked */
    for (int i = 0; i < WRITERS * RECORDS; i++) {
        SAME(read_all(ends[0], record, sizeof record), sizeof record);
        for (int j = 1; j < RECORD; j++) CHECK(record[j] == record[0]);
        count[record[0] - 'a']++;
    }
    for (int i = 0; i < WRITERS; i++) SAME(count[i], RECORDS);
    for (int i = 0; i < WRITERS; i++) join(writers[i]);
    say("%d writers, no record torn", WRITERS);
    SAME(close(ends[0]), 0);
    SAME(close(ends[1]), 0);
}

static void* write_and_close(void* argument) {
    static char many[500000];
    fill_pattern(many, sizeof many, 0, 3);
    wait_ticks(3);
    SAME(write(ends[1], many, sizeof many), sizeof many);
    SAME(close(ends[1]), 0);
    wait_ticks(3);
    SAME(close((int)(intptr_t)argument), 0); /* the last writer */
    return NULL;
}

static void up_to_the_end(void) {
    SAME(pipe(ends), 0);
    pthread_t thread = start(write_and_close, (void*)(intptr_t)dup(ends[1]));
    char data[777];
    size_t total = 0;
    for (ssize_t n; (n = read(ends[0], data, sizeof data)) != 0; total += (size_t)n) {
        CHECK(n > 0);
        CHECK(is_pattern(data, (size_t)n, total, 3));
    }
    SAME(total, 500000);
    join(thread);
    SAME(close(ends[0]), 0);
    say("500000 bytes, then the end");
}

static void partial_writes(void) {
    static char many[200000];
    SAME(pipe2(ends, O_NONBLOCK), 0);
    int size = fcntl(ends[1], F_GETPIPE_SZ);
    SAME(write(ends[1], many, sizeof many), size);
    FAILS(write(ends[1], many, 1), EAGAIN);
    SAME(read(ends[0], many, 4096), 4096);
    SAME(write(ends[1], many, 2 * PIPE_BUF), PIPE_BUF);
    SAME(read(ends[0], many, 100), 100);
    FAILS(write(ends[1], many, PIPE_BUF), EAGAIN); /* not all would fit */
    int unread = -1;
    SAME(ioctl(ends[0], FIONREAD, &unread), 0);
    SAME(unread, size - 100);
    SAME(write(ends[1], many, 0), 0);
    SAME(read(ends[0], many, 0), 0);
    SAME(close(ends[0]), 0);
    SAME(close(ends[1]), 0);
    say("partial writes");
}

static void* write_twice_its_size(void* argument) {
    (void)argument;
    char data[8192];
    fill_pattern(data, sizeof data, 0, 5);
    SAME(write(ends[1], data, sizeof data), sizeof data);
    return NULL;
}

static void small_pipe(void) {
    SAME(pipe(ends), 0);
    SAME(fcntl(ends[1], F_SETPIPE_SZ, 4096), 4096);
    pthread_t thread = start(write_twice_its_size, NULL);
    wait_ticks(3);
    char data[8192];
    SAME(read_all(ends[0], data, sizeof data), sizeof data);
    CHECK(is_pattern(data, sizeof data, 0, 5));
    join(thread);
    FAILS(read(ends[1], data, 1), EBADF); /* the wrong end */
    FAILS(write(ends[0], data, 1), EBADF);
    SAME(write(ends[1], "x", 1), 1);
    FAILS(read(ends[0], bad_address(), 1), EFAULT);
    say("a pipe of one page, the wrong end, a bad address");
}

int main(void) {
    start_ticking();
    whole_records();
    up_to_the_end();
    partial_writes();
    small_pipe();
    stop_ticking();
    return 0;
}
