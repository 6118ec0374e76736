/* A connection that is reset (SO_LINGER 0, or unread data at close) reaches a thread blocked in
 * recv, in send and in poll as ECONNRESET, once; then there is the end, and EPIPE for writers.
 *
 * PARITY: switches=10 threads=6 */
#include "parity.h"

static int pair[2];

static void* receive_reset(void* argument) {
    char data[16];
    (void)argument;
    FAILS(recv(pair[0], data, sizeof data, 0), ECONNRESET);
    SAME(recv(pair[0], data, sizeof data, 0), 0);
    FAILS(send(pair[0], "x", 1, MSG_NOSIGNAL), EPIPE);
    return NULL;
}

static void* send_until_reset(void* argument) {
    static char many[1 << 20];
    (void)argument;
    ssize_t n;
    while ((n = send(pair[0], many, sizeof many, MSG_NOSIGNAL)) > 0) continue;
    SAME(n, -1);
    SAME(errno, ECONNRESET);
    FAILS(send(pair[0], many, 1, MSG_NOSIGNAL), EPIPE);
    return NULL;
}

static void* poll_reset(void* argument) {
    (void)argument;
    struct pollfd waiting = {pair[0], POLLIN, 0};
    SAME(poll(&waiting, 1, -1), 1);
    SAME(waiting.revents, POLLIN | POLLERR | POLLHUP);
    int error = 0;
    socklen_t length = sizeof error;
    SAME(getsockopt(pair[0], SOL_SOCKET, SO_ERROR, &error, &length), 0);
    SAME(error, ECONNRESET);
    return NULL;
}

static void reset(int fd) {
    struct linger hard = {1, 0};
    SAME(setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard), 0);
    SAME(close(fd), 0);
}

int main(void) {
    start_ticking();
    parity_body bodies[3] = {receive_reset, send_until_reset, poll_reset};
    const char* names[3] = {"recv", "send", "poll"};
    for (int late = 0; late < 2; late++)
        for (int i = 0; i < 3; i++) {
            if (late && i == 1) continue;
            tcp_pair(pair);
            pthread_t thread = 0;
            if (!late) thread = start(bodies[i], NULL);
            wait_ticks(5);
            reset(pair[1]);
            if (late) thread = start(bodies[i], NULL);
            join(thread);
            SAME(close(pair[0]), 0);
            say("%s %s", names[i], late ? "after the reset" : "reset while blocked");
        }

    char data[16];
    tcp_pair(pair);
    SAME(send(pair[0], "unread", 6, 0), 6);
    struct pollfd arrived = {pair[1], POLLIN, 0};
    SAME(poll(&arrived, 1, -1), 1);
    SAME(close(pair[1]), 0);
    FAILS(recv(pair[0], data, sizeof data, 0), ECONNRESET);
    SAME(close(pair[0]), 0);
    unix_pair(pair);
    SAME(send(pair[0], "unread", 6, 0), 6);
    SAME(close(pair[1]), 0);
    FAILS(recv(pair[0], data, sizeof data, 0), ECONNRESET);
    SAME(recv(pair[0], data, sizeof data, 0), 0);
    say("closed over unread data");
    stop_ticking();
    return 0;
}
