/* SO_RCVLOWAT: a blocking receive waits for so many bytes, on TCP and Unix sockets, in all its
 * forms; for fewer if it asks for fewer, at the end, and when SO_RCVTIMEO has passed. A thread
 * that has a part with MSG_WAITALL is cancelled all the same.
 *
 * PARITY: threads=6 offloaded=10 */
#include "parity.h"

static int ends[2];

static void set_low_water(int bytes) {
    SAME(setsockopt(ends[1], SOL_SOCKET, SO_RCVLOWAT, &bytes, sizeof bytes), 0);
}

static void* send_in_pieces(void* unused) {
    wait_ticks(20);
    SAME(send(ends[0], "abc", 3, 0), 3);
    wait_ticks(20);
    SAME(send(ends[0], "defgh", 5, 0), 5);
    return unused;
}

static ssize_t receive(int how) {
    static char data[64];
    struct iovec pieces[2] = {{data, 2}, {data + 2, 30}};
    struct msghdr message = {.msg_iov = pieces, .msg_iovlen = 2};
    switch (how) {
        case 0:
            return recv(ends[1], data, sizeof data, 0);
        case 1:
            return read(ends[1], data, sizeof data);
        case 2:
            return readv(ends[1], pieces, 2);
        case 3:
            return recvmsg(ends[1], &message, 0);
        case 4:
            return recvfrom(ends[1], data, sizeof data, MSG_PEEK, NULL, NULL);
        default:
            return read(ends[1], data, 4);
    }
}

static void* receive_all(void* unused) {
    char data[64];
    (void)unused;
    recv(ends[1], data, sizeof data, MSG_WAITALL);
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    return NULL;
}

static void try_all(const char* kind) {
    char data[64];
    set_low_water(8);
    for (int how = 0; how < 6; ++how) {
        pthread_t sender = start(send_in_pieces, NULL);
        ssize_t got = receive(how);
        join(sender);
        say("%s: form %d: %zd, and %zd are left", kind, how, got,
            recv(ends[1], data, sizeof data, MSG_DONTWAIT));
    }
    SAME(send(ends[0], "abcdefghi", 9, 0), 9);
    pthread_t receiver = start(receive_all, NULL);
    wait_ticks(20);
    SAME(pthread_cancel(receiver), 0);
    CHECK(join(receiver) == PTHREAD_CANCELED);
    say("%s: cancelled", kind);
    struct timeval time = timeval_ms(50);
    SAME(setsockopt(ends[1], SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time), 0);
    SAME(send(ends[0], "abc", 3, 0), 3);
    SAME(recv(ends[1], data, sizeof data, 0), 3);
    FAILS(recv(ends[1], data, sizeof data, 0), EAGAIN);
    SAME(send(ends[0], "ab", 2, 0), 2);
    SAME(recv(ends[1], data, sizeof data, MSG_DONTWAIT), 2);
    set_low_water(1);
    SAME(send(ends[0], "ab", 2, 0), 2);
    SAME(recv(ends[1], data, sizeof data, 0), 2);
    set_low_water(8);
    SAME(send(ends[0], "abcd", 4, 0), 4);
    SAME(shutdown(ends[0], SHUT_WR), 0);
    SAME(recv(ends[1], data, sizeof data, 0), 4);
    SAME(recv(ends[1], data, sizeof data, 0), 0);
    say("%s: time-outs and the end", kind);
    close(ends[0]);
    close(ends[1]);
}

int main(void) {
    start_ticking();
    tcp_pair(ends);
    try_all("TCP");
    unix_pair(ends);
    try_all("Unix");
    stop_ticking();
    return 0;
}
