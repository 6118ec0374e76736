/* What the programs of this folder share: checks that end the program, lines on stdout, threads, a
 * ticking thread, sockets on free ports.
 *
 * A program here is run twice, natively and green, and must print the same both times. So nothing
 * timing-dependent is ever printed; facts are checked where they happen (CHECK, SAME, FAILS) and
 * a failed check says where on stdout and ends the process with status 99.
 *
 * "Nobody stops anybody" is shown by cause, not by the clock: a blocked call is released by another
 * thread which first slept, ticked or talked itself. If the blocked call stopped the whole process,
 * the release would never come and the runner's time limit would end the run. Where a call ends by
 * its own timeout, the ticking thread must have moved meanwhile. */
#ifndef PARITY_H
#define PARITY_H

#ifndef _GNU_SOURCE
#    define _GNU_SOURCE
#endif
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* ---- checks ---------------------------------------------------------------------------------- */

static inline const char* parity_errno_name(int error) {
    const char* name = error == 0 ? "0" : strerrorname_np(error);
    return name != NULL ? name : "?";
}

/* One write, without stdio's locks: a failure inside flockfile must still be heard. */
__attribute__((noreturn, format(printf, 3, 4))) static inline void parity_fail(const char* file,
                                                                               int line,
                                                                               const char* format,
                                                                               ...) {
    char text[600];
    const char* slash = strrchr(file, '/');
    int length = snprintf(text, sizeof text, "FAILED %s:%d: ", slash ? slash + 1 : file, line);
    va_list arguments;
    va_start(arguments, format);
    length += vsnprintf(text + length, sizeof text - 1 - (size_t)length, format, arguments);
    va_end(arguments);
    if (length > (int)sizeof text - 2) length = sizeof text - 2;
    text[length] = '\n';
    if (write(STDOUT_FILENO, text, (size_t)length + 1) < 0) _exit(98);
    _exit(99);
}

static inline void parity_same(const char* file, int line, const char* what, long long got,
                               long long want) {
    int error = errno;
    if (got != want)
        parity_fail(file, line, "%s is %lld, not %lld (errno %s)", what, got, want,
                    parity_errno_name(error));
}

static inline void parity_fails(const char* file, int line, const char* what, long long got,
                                int want) {
    int error = errno;
    if (got != -1 || error != want)
        parity_fail(file, line, "%s is %lld with errno %s, not -1 with %s", what, got,
                    parity_errno_name(error), parity_errno_name(want));
}

/* The condition holds. */
#define CHECK(condition)                                                                  \
    ((condition) ? (void)0                                                                \
                 : parity_fail(__FILE__, __LINE__, "%s is not so (errno %s)", #condition, \
                               parity_errno_name(errno)))
/* The expression has this value. */
#define SAME(expression, want) \
    parity_same(__FILE__, __LINE__, #expression, (long long)(expression), (long long)(want))
/* The call returns -1 with this errno. */
#define FAILS(call, error) \
    (errno = 0, parity_fails(__FILE__, __LINE__, #call, (long long)(call), error))

/* A line on stdout, flushed at once: a later fork must not carry it, a hang must not hide it. */
__attribute__((format(printf, 1, 2))) static inline void say(const char* format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    putchar('\n');
    fflush(stdout);
}

/* ---- time ------------------------------------------------------------------------------------ */

static inline double now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static inline void sleep_ms(long ms) {
    struct timespec pause = {ms / 1000, ms % 1000 * 1000000};
    while (nanosleep(&pause, &pause) != 0) CHECK(errno == EINTR);
}

static inline struct timeval timeval_ms(long ms) {
    struct timeval value = {ms / 1000, ms % 1000 * 1000};
    return value;
}

static inline struct timespec timespec_ms(long ms) {
    struct timespec value = {ms / 1000, ms % 1000 * 1000000};
    return value;
}

/* At least `ms` have passed since `start` (less the kernel's coarsest tick). */
#define TOOK(start, ms) CHECK(now_ms() - (start) >= (double)(ms)-10)

/* ---- threads --------------------------------------------------------------------------------- */

typedef void* (*parity_body)(void*);

static inline pthread_t start(parity_body body, void* argument) {
    pthread_t thread;
    SAME(pthread_create(&thread, NULL, body, argument), 0);
    return thread;
}

static inline void* join(pthread_t thread) {
    void* result = NULL;
    SAME(pthread_join(thread, &result), 0);
    return result;
}

/* A counter that several threads raise and read. */
static inline long add_to(long* counter, long amount) {
    return __atomic_add_fetch(counter, amount, __ATOMIC_SEQ_CST);
}
static inline long value_of(long* counter) { return __atomic_load_n(counter, __ATOMIC_SEQ_CST); }
static inline void set_to(long* counter, long value) {
    __atomic_store_n(counter, value, __ATOMIC_SEQ_CST);
}

/* Sleeps in small steps until the counter has reached the value. */
static inline void wait_for(long* counter, long value) {
    while (value_of(counter) < value) usleep(500);
}

/* ---- the ticking thread ---------------------------------------------------------------------- */

struct parity_ticker {
    pthread_t thread;
    long ticks;
    long stop;
};
static struct parity_ticker parity_ticker __attribute__((unused));

static inline void* parity_tick(void* argument) {
    struct parity_ticker* ticker = (struct parity_ticker*)argument;
    while (!value_of(&ticker->stop)) {
        add_to(&ticker->ticks, 1);
        usleep(1000);
    }
    return NULL;
}

#define start_ticking() \
    (set_to(&parity_ticker.stop, 0), parity_ticker.thread = start(parity_tick, &parity_ticker))
#define stop_ticking() (set_to(&parity_ticker.stop, 1), (void)join(parity_ticker.thread))
#define ticks() value_of(&parity_ticker.ticks)
/* Returns when the ticking thread has moved this often since the call. */
#define wait_ticks(count) wait_for(&parity_ticker.ticks, ticks() + (count))

/* ---- descriptors ----------------------------------------------------------------------------- */

static inline struct sockaddr_in loopback(int port) {
    struct sockaddr_in address;
    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    address.sin_port = htons((uint16_t)port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

static inline int port_of(int fd) {
    struct sockaddr_in address;
    socklen_t length = sizeof address;
    SAME(getsockname(fd, (struct sockaddr*)&address, &length), 0);
    return ntohs(address.sin_port);
}

/* A socket of this type bound to a free port of the loopback. */
static inline int inet_socket(int type) {
    struct sockaddr_in address = loopback(0);
    int fd = socket(AF_INET, type, 0);
    CHECK(fd >= 0);
    SAME(bind(fd, (struct sockaddr*)&address, sizeof address), 0);
    return fd;
}

static inline int tcp_listen(int backlog) {
    int fd = inet_socket(SOCK_STREAM);
    SAME(listen(fd, backlog), 0);
    return fd;
}

static inline int tcp_connect(int port) {
    struct sockaddr_in address = loopback(port);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(fd >= 0);
    SAME(connect(fd, (struct sockaddr*)&address, sizeof address), 0);
    return fd;
}

/* A connected pair of TCP sockets. */
static inline void tcp_pair(int pair[2]) {
    int listener = tcp_listen(8);
    pair[0] = tcp_connect(port_of(listener));
    pair[1] = accept(listener, NULL, NULL);
    CHECK(pair[1] >= 0);
    SAME(close(listener), 0);
}

static inline void unix_pair(int pair[2]) { SAME(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0); }

/* The abstract Unix address of this program with this name: no file to remove, free per process. */
static inline socklen_t unix_name(struct sockaddr_un* address, const char* name) {
    memset(address, 0, sizeof *address);
    address->sun_family = AF_UNIX;
    int length = snprintf(address->sun_path + 1, sizeof address->sun_path - 1, "parity-%d-%s",
                          (int)getpid(), name);
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length);
}

/* Where no program has memory, and a count: out of the compiler's sight, which would warn. */
static inline void* bad_address(void) {
    void* volatile address = (void*)8;
    return address;
}
static inline int hidden(int value) {
    volatile int same = value;
    return same;
}

static inline int is_nonblocking(int fd) { return (fcntl(fd, F_GETFL) & O_NONBLOCK) != 0; }

static inline void set_nonblocking(int fd, int on) {
    int flags = fcntl(fd, F_GETFL);
    CHECK(flags >= 0);
    SAME(fcntl(fd, F_SETFL, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK), 0);
}

/* Writes until everything is written. */
static inline void write_all(int fd, const void* data, size_t size) {
    for (size_t done = 0; done < size;) {
        ssize_t n = write(fd, (const char*)data + done, size - done);
        CHECK(n > 0);
        done += (size_t)n;
    }
}

/* Reads until `size` bytes or the end; returns how many there were. */
static inline size_t read_all(int fd, void* data, size_t size) {
    size_t done = 0;
    while (done < size) {
        ssize_t n = read(fd, (char*)data + done, size - done);
        CHECK(n >= 0);
        if (n == 0) break;
        done += (size_t)n;
    }
    return done;
}

/* Bytes which depend on their position, and the check of such bytes. */
static inline unsigned char pattern_at(size_t position, unsigned seed) {
    return (unsigned char)((position * 2654435761u >> 13) + position + seed);
}

static inline void fill_pattern(void* data, size_t size, size_t position, unsigned seed) {
    for (size_t i = 0; i < size; i++) ((unsigned char*)data)[i] = pattern_at(position + i, seed);
}

static inline int is_pattern(const void* data, size_t size, size_t position, unsigned seed) {
    for (size_t i = 0; i < size; i++)
        if (((const unsigned char*)data)[i] != pattern_at(position + i, seed)) return 0;
    return 1;
}

/* Writes into fd without waiting until it takes no more; returns how many bytes it took. */
static inline size_t fill_up(int fd) {
    static const char zeros[4096];
    size_t total = 0;
    int was_nonblocking = is_nonblocking(fd);
    set_nonblocking(fd, 1);
    for (size_t piece = sizeof zeros; piece >= 1;) {
        ssize_t n = write(fd, zeros, piece);
        if (n > 0) {
            total += (size_t)n;
        } else {
            CHECK(errno == EAGAIN);
            if (piece == 1) break;
            piece = 1;
        }
    }
    set_nonblocking(fd, was_nonblocking);
    return total;
}

/* The path of a file that lies beside the program. */
static inline void path_beside(char path[4096], const char* name) {
    char* slash;
    ssize_t length = readlink("/proc/self/exe", path, 4096 - 100);
    CHECK(length > 0);
    path[length] = '\0';
    CHECK((slash = strrchr(path, '/')) != NULL);
    strcpy(slash + 1, name);
}

#endif
