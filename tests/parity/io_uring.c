/* Waiting for an io_uring's completions by io_uring_enter(2): of what another thread brings about,
 * several at once, with a time-out, ended by a signal, on a ring that hands its completions only to
 * who asks.
 *
 * PARITY: switches=30 threads=7
 */
#include "io_uring.h"

static struct ring ring;
static int pipes[2];

static void* write_later(void* words) {
    for (long i = 0; i < (long)(intptr_t)words; i++) {
        wait_ticks(3);
        SAME(write(pipes[1], "word", 4), 4);
    }
    return NULL;
}

static void read_by_ring(unsigned count) {
    static char words[8][4];
    for (unsigned i = 0; i < count; i++) {
        struct io_uring_sqe* sqe = ring_request(&ring, IORING_OP_READ, pipes[0], 100 + i);
        sqe->addr = (unsigned long long)(uintptr_t)words[i];
        sqe->len = 4;
    }
}

static void expect_words(unsigned count) {
    unsigned long long sum = 0;
    for (unsigned i = 0; i < count; i++) {
        int result;
        sum += ring_take(&ring, &result) - 100;
        SAME(result, 4);
    }
    SAME(sum, count * (count - 1) / 2);
    SAME(ring_ready(&ring), 0);
}

static void words(const char* what, unsigned count, unsigned submit_before) {
    pthread_t thread = start(write_later, (void*)(intptr_t)count);
    read_by_ring(count);
    if (submit_before) SAME(ring_enter(&ring, count, 0), count);
    SAME(ring_enter(&ring, submit_before ? 0 : count, count), submit_before ? 0 : count);
    CHECK(ring_ready(&ring) >= count);
    expect_words(count);
    join(thread);
    say("%s: %u", what, count);
}

static void* submit_later(void* unused) {
    wait_ticks(3);
    ring_request(&ring, IORING_OP_NOP, -1, 1);
    SAME(ring_enter(&ring, 1, 0), 1);
    return unused;
}

static void another_submits(void) {
    int result;
    pthread_t thread = start(submit_later, NULL);
    SAME(ring_enter(&ring, 0, 1), 0);
    join(thread);
    SAME(ring_take(&ring, &result), 1);
    SAME(result, 0);
    say("submitted by another thread");
}

static void time_outs(void) {
    double begin = now_ms();
    long before = ticks();
    FAILS(ring_enter_timed(&ring, 0, 1, 50), ETIME);
    TOOK(begin, 50);
    CHECK(ticks() > before);
    FAILS(ring_enter_timed(&ring, 0, 1, 0), ETIME);

    read_by_ring(1);
    SAME(ring_enter_timed(&ring, 1, 1, 20), 1); /* what was submitted counts more */
    SAME(ring_ready(&ring), 0);
    SAME(write(pipes[1], "word", 4), 4);
    SAME(ring_enter_timed(&ring, 0, 1, 60000), 0);
    expect_words(1);
    say("time-outs");
}

static long enter_with(unsigned flags, struct timespec* time) {
    struct io_uring_getevents_arg argument = {.ts = (unsigned long long)(uintptr_t)time};
    return syscall(SYS_io_uring_enter, ring.fd, 0, 1,
                   IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG | flags, &argument,
                   sizeof argument);
}

/* IORING_ENTER_ABS_TIMER and IORING_ENTER_NO_IOWAIT, which not all kernels know. */
static void newer_flags(void) {
    static const struct {
        const char* name;
        unsigned flags;
    } kinds[] = {{"a point in time", 1U << 5}, {"no wait for I/O", 1U << 7}};
    for (int i = 0; i < 2; i++) {
        struct timespec time = {0, 1};
        if (enter_with(kinds[i].flags, &time) < 0 && errno == EINVAL) continue;
        pthread_t thread = start(write_later, (void*)(intptr_t)1);
        read_by_ring(1);
        SAME(ring_enter(&ring, 1, 0), 1);
        clock_gettime(CLOCK_MONOTONIC, &time);
        time.tv_sec += 20;
        SAME(enter_with(kinds[i].flags, &time), 0);
        expect_words(1);
        join(thread);
        double begin = now_ms();
        time = timespec_ms(50);
        if (i == 0) {
            clock_gettime(CLOCK_MONOTONIC, &time);
            time.tv_nsec += 50000000;
            if (time.tv_nsec >= 1000000000) time.tv_sec++, time.tv_nsec -= 1000000000;
        }
        long before = ticks();
        FAILS(enter_with(kinds[i].flags, &time), ETIME);
        TOOK(begin, 50);
        CHECK(ticks() > before);
        say("%s", kinds[i].name);
    }
}

static long handled;
static pthread_t main_thread;
static void count(int number) {
    (void)number;
    add_to(&handled, 1);
}

static void* kill_later(void* unused) {
    wait_ticks(3);
    SAME(pthread_kill(main_thread, SIGUSR1), 0);
    return unused;
}

static void signals(void) {
    struct sigaction action = {.sa_handler = count, .sa_flags = SA_RESTART};
    SAME(sigaction(SIGUSR1, &action, NULL), 0);
    main_thread = pthread_self();
    pthread_t thread = start(kill_later, NULL);
    FAILS(ring_enter(&ring, 0, 1), EINTR);
    SAME(value_of(&handled), 1);
    join(thread);

    sigset_t blocked, none;
    sigemptyset(&none);
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGUSR1);
    SAME(pthread_sigmask(SIG_BLOCK, &blocked, NULL), 0);
    SAME(raise(SIGUSR1), 0);
    SAME(value_of(&handled), 1);
    FAILS(syscall(SYS_io_uring_enter, ring.fd, 0, 1, IORING_ENTER_GETEVENTS, &none, 8), EINTR);
    SAME(value_of(&handled), 2);
    SAME(pthread_sigmask(SIG_UNBLOCK, &blocked, NULL), 0);
    say("signals");
}

static void errors(void) {
    FAILS(syscall(SYS_io_uring_enter, -1, 0, 1, IORING_ENTER_GETEVENTS, NULL, 0), EBADF);
    FAILS(syscall(SYS_io_uring_enter, pipes[0], 0, 1, IORING_ENTER_GETEVENTS, NULL, 0), EOPNOTSUPP);
    FAILS(syscall(SYS_io_uring_enter, ring.fd, 0, 1, 1U << 30, NULL, 0), EINVAL);
    SAME(ring_enter(&ring, 0, 0), 0);
    say("errors");
}

static void all(const char* kind, unsigned flags) {
    if (!ring_open(&ring, flags)) return say("no io_uring here: %s", kind);
    say("%s", kind);
    words("waited for", 1, 1);
    words("submitted and waited for", 1, 0);
    if (flags == 0) {
        words("several", 5, 1);
        another_submits();
    }
    time_outs();
    newer_flags();
    signals();
    set_to(&handled, 0);
    errors();
    SAME(close(ring.fd), 0);
}

int main(void) {
    SAME(pipe(pipes), 0);
    start_ticking();
    all("a ring", 0);
#ifdef IORING_SETUP_DEFER_TASKRUN
    all("a ring of one thread", IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN);
#else
    all("a ring of one thread", 1U << 12 | 1U << 13);
#endif
    stop_ticking();
    return 0;
}
