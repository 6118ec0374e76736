/* close(2) of a socket with SO_LINGER waits until the peer has taken what was sent, or for the time
 * set; meanwhile the other threads run. Accepted connections inherit it. Without a time the
 * connection is reset.
 *
 * PARITY: switches=10 threads=2 kernel_threads=17 */
#include "parity.h"

static int pair[2];

/* Takes what was sent, when others had time to run. */
static void* take(void* argument) {
    static char data[1 << 16];
    wait_ticks(10);
    size_t total = 0;
    for (ssize_t n; (n = read(pair[1], data, sizeof data)) > 0;) total += (size_t)n;
    SAME(total, (size_t)(intptr_t)argument);
    return NULL;
}

static void linger_for(int fd, int on, int seconds) {
    struct linger value = {on, seconds};
    SAME(setsockopt(fd, SOL_SOCKET, SO_LINGER, &value, sizeof value), 0);
}

int main(void) {
    start_ticking();
    int small = 4096;
    int listener = inet_socket(SOCK_STREAM);
    SAME(setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &small, sizeof small), 0);
    SAME(listen(listener, 4), 0);
    pair[0] = tcp_connect(port_of(listener));
    pair[1] = accept(listener, NULL, NULL);
    CHECK(pair[1] >= 0);
    linger_for(pair[0], 1, 20);
    size_t sent = fill_up(pair[0]);
    pthread_t reader = start(take, (void*)(intptr_t)sent);
    SAME(close(pair[0]), 0);
    join(reader); /* had close stopped it, 20 s would have passed and the end be a reset */
    SAME(close(pair[1]), 0);
    say("lingers until all is taken");

    linger_for(listener, 1, 1);
    pair[1] = tcp_connect(port_of(listener));
    pair[0] = accept(listener, NULL, NULL);
    CHECK(pair[0] >= 0);
    fill_up(pair[0]);
    double begin = now_ms();
    long before = ticks();
    SAME(close(pair[0]), 0);
    TOOK(begin, 900);
    CHECK(ticks() > before);
    SAME(close(pair[1]), 0);
    say("lingers for its time");

    linger_for(listener, 0, 0);
    pair[1] = tcp_connect(port_of(listener));
    pair[0] = accept(listener, NULL, NULL);
    CHECK(pair[0] >= 0);
    linger_for(pair[0], 1, 0);
    SAME(close(pair[0]), 0);
    char c;
    FAILS(read(pair[1], &c, 1), ECONNRESET);
    SAME(close(pair[1]), 0);
    SAME(close(listener), 0);
    say("resets");
    stop_ticking();
    return 0;
}
