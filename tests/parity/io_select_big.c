/* select and pselect on descriptors beyond FD_SETSIZE, in sets made large enough by the program
 * itself, as some servers do: bits are read and cleared up to the number given, timeouts and
 * readiness are as for small ones, and nobody is stopped meanwhile.
 *
 * PARITY: switches=10 threads=3 */
#include "parity.h"

#include <sys/resource.h>

enum { HIGH = 2000, WORDS = 4096 / 64 };

typedef unsigned long big_set[WORDS];

static void set_bit(unsigned long* set, int fd) { set[fd / 64] |= 1UL << fd % 64; }
static int has_bit(const unsigned long* set, int fd) { return (int)(set[fd / 64] >> fd % 64 & 1); }
static fd_set* as_set(unsigned long* set) { return (fd_set*)(void*)set; }

static int ends[2];

static void* write_later(void* argument) {
    wait_ticks(10);
    SAME(write(ends[1], "x", 1), 1);
    return argument;
}

int main(void) {
    struct rlimit limit;
    SAME(getrlimit(RLIMIT_NOFILE, &limit), 0);
    if (limit.rlim_cur < HIGH + 100) limit.rlim_cur = HIGH + 100;
    SAME(setrlimit(RLIMIT_NOFILE, &limit), 0);
    start_ticking();
    SAME(pipe(ends), 0);
    int reader = fcntl(ends[0], F_DUPFD, HIGH), writer = fcntl(ends[1], F_DUPFD, HIGH + 1);
    int count = writer + 1;
    SAME(reader, HIGH);
    SAME(writer, HIGH + 1);

    big_set in = {0}, out = {0};
    struct timeval time = timeval_ms(50);
    set_bit(in, reader);
    long before = ticks();
    SAME(select(count, as_set(in), NULL, NULL, &time), 0);
    SAME(has_bit(in, reader), 0);
    CHECK(ticks() > before);
    say("timeout");

    set_bit(in, reader);
    set_bit(out, writer);
    SAME(select(count, as_set(in), as_set(out), NULL, NULL), 1);
    SAME(has_bit(in, reader), 0);
    SAME(has_bit(out, writer), 1);
    say("writable");

    set_bit(in, reader);
    set_bit(in, ends[0]);
    pthread_t thread = start(write_later, NULL);
    SAME(select(count, as_set(in), NULL, NULL, NULL), 2);
    SAME(has_bit(in, reader), 1);
    SAME(has_bit(in, ends[0]), 1);
    join(thread);
    say("readable later");

    char byte;
    SAME(read(reader, &byte, 1), 1);
    memset(in, 0, sizeof in);
    set_bit(in, reader);
    thread = start(write_later, NULL);
    SAME(pselect(count, as_set(in), NULL, NULL, NULL, NULL), 1);
    SAME(has_bit(in, reader), 1);
    join(thread);
    say("pselect");

    memset(in, 0, sizeof in);
    set_bit(in, reader + 10); /* not open */
    time = timeval_ms(50);
    FAILS(select(reader + 11, as_set(in), NULL, NULL, &time), EBADF);
    memset(in, 0, sizeof in);
    set_bit(in, writer + 1); /* beyond the count: not looked at */
    time = timeval_ms(20);
    SAME(select(count, as_set(in), NULL, NULL, &time), 0);
    say("closed ones");
    stop_ticking();
    return 0;
}
