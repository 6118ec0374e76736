/* A write that waits for room in a Unix stream when the other end goes: it is told ECONNRESET if
 * that was closed and left something unread, else EPIPE, and there is no SIGPIPE but for those who
 * write later. One that has written a part tells of that part, and the error is told to nobody.
 *
 * PARITY: switches=10 threads=2 timeout=20
 */
#include "parity.h"

static long broken;
static int pair[2];
static int closes;

static void on_pipe(int number) {
    (void)number;
    add_to(&broken, 1);
}

static void* go(void* unused) {
    wait_ticks(20);
    SAME(closes ? close(pair[1]) : shutdown(pair[1], SHUT_RD), 0);
    return unused;
}

static void tell(const char* what, long r) {
    say("  %s: %s, %ld signals", what,
        r < 0    ? parity_errno_name(errno)
        : r == 0 ? "0"
                 : "more",
        value_of(&broken));
}

static void one(size_t size, int by_message) {
    static char data[1 << 20];
    say("%s, %zu bytes by %s", closes ? "closed" : "shut down", size,
        by_message ? "sendmsg" : "write");
    unix_pair(pair);
    set_to(&broken, 0);
    pthread_t thread = start(go, NULL);
    long r;
    do {
        struct iovec piece = {data, size};
        struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1};
        r = by_message ? sendmsg(pair[0], &message, 0) : write(pair[0], data, size);
    } while (r == (long)size);
    tell("waits", r);
    join(thread);
    tell("reads", recv(pair[0], data, 1, MSG_DONTWAIT));
    tell("writes", write(pair[0], data, 1));
    close(pair[0]);
    if (!closes) close(pair[1]);
}

int main(void) {
    signal(SIGPIPE, on_pipe);
    start_ticking();
    for (closes = 0; closes < 2; ++closes) {
        for (int by_message = 0; by_message < 2; ++by_message) {
            one(100, by_message);
            one(1 << 20, by_message);
        }
    }
    stop_ticking();
    return 0;
}
