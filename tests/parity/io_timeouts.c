/* SO_RCVTIMEO and SO_SNDTIMEO: every receiving and sending call ends with EAGAIN after that time
 * and not before, a partial transfer is reported first, data in time are delivered, and without the
 * option calls wait for ever again. poll knows nothing of these options.
 *
 * PARITY: switches=20 threads=4 */
#include "parity.h"

static int pair[2];

static void set_timeout(int fd, int option, long ms) {
    struct timeval wait = timeval_ms(ms), back;
    socklen_t length = sizeof back;
    SAME(setsockopt(fd, SOL_SOCKET, option, &wait, sizeof wait), 0);
    SAME(getsockopt(fd, SOL_SOCKET, option, &back, &length), 0);
    CHECK(back.tv_sec * 1000 + back.tv_usec / 1000 >= ms);
}

/* Each way to receive, with nothing there. */
static ssize_t receive(int way, char* data, size_t size) {
    struct iovec piece = {data, size};
    struct msghdr message;
    struct mmsghdr several;
    memset(&message, 0, sizeof message);
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    memset(&several, 0, sizeof several);
    several.msg_hdr = message;
    switch (way) {
        case 0:
            return read(pair[0], data, size);
        case 1:
            return readv(pair[0], &piece, 1);
        case 2:
            return recv(pair[0], data, size, 0);
        case 3:
            return recvfrom(pair[0], data, size, MSG_PEEK, NULL, NULL);
        case 4:
            return recvmsg(pair[0], &message, MSG_WAITALL);
        default:
            return recvmmsg(pair[0], &several, 1, 0, NULL);
    }
}

static void* receive_without_end(void* argument) {
    char* data = (char*)argument;
    SAME(recv(pair[0], data, 1, 0), 1);
    return NULL;
}

static void* send_soon(void* argument) {
    (void)argument;
    wait_ticks(5);
    SAME(send(pair[1], "s", 1, 0), 1);
    return NULL;
}

int main(void) {
    start_ticking();
    char data[64];
    for (int kind = 0; kind < 2; kind++) {
        kind ? tcp_pair(pair) : unix_pair(pair);
        set_timeout(pair[0], SO_RCVTIMEO, 60);
        for (int way = 0; way < 6; way++) {
            double begun = now_ms();
            long before = ticks();
            FAILS(receive(way, data, sizeof data), EAGAIN);
            TOOK(begun, 60);
            CHECK(ticks() > before);
        }
        say("nothing comes: EAGAIN six ways");

        set_timeout(pair[0], SO_RCVTIMEO, 20000);
        pthread_t thread = start(send_soon, NULL);
        SAME(recv(pair[0], data, sizeof data, 0), 1);
        join(thread);
        struct timeval never = {0, 0};
        SAME(setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &never, sizeof never), 0);
        thread = start(receive_without_end, data);
        wait_ticks(80);
        SAME(send(pair[1], "e", 1, 0), 1);
        join(thread);
        say("data in time, and no timeout at all");

        set_timeout(pair[1], SO_SNDTIMEO, 80);
        static char many[16 << 20];
        double begun = now_ms();
        long before = ticks();
        ssize_t sent = send(pair[1], many, sizeof many, 0);
        CHECK(sent > 0 && sent < (ssize_t)sizeof many);
        TOOK(begun, 80);
        CHECK(ticks() > before);
        begun = now_ms();
        ssize_t more;
        while ((more = write(pair[1], many, sizeof many)) > 0) sent += more; /* buffers grow */
        SAME(more, -1);
        SAME(errno, EAGAIN);
        TOOK(begun, 80);
        struct iovec piece = {many, sizeof many};
        FAILS(writev(pair[1], &piece, 1), EAGAIN);
        say("a full peer: what was sent, then EAGAIN");

        struct pollfd writable = {pair[1], POLLOUT, 0};
        SAME(poll(&writable, 1, 100), 0);
        for (ssize_t left = sent; left > 0;) {
            ssize_t n = read(pair[0], many, sizeof many);
            CHECK(n > 0);
            left -= n;
        }
        SAME(poll(&writable, 1, -1), 1);
        SAME(write(pair[1], "again", 5), 5);
        SAME(recv(pair[0], data, 5, MSG_WAITALL), 5);
        SAME(is_nonblocking(pair[0]) + is_nonblocking(pair[1]), 0);
        SAME(close(pair[0]), 0);
        SAME(close(pair[1]), 0);
        say("and on");
    }
    struct timeval negative = {0, 1000000};
    unix_pair(pair);
    FAILS(setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &negative, sizeof negative), EDOM);
    say("EDOM");
    stop_ticking();
    return 0;
}
