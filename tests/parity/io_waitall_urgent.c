/* MSG_WAITALL ends before urgent data, with what has come, and goes on behind it with the next
 * call: recv and recvmsg, TCP and Unix streams, the byte taken out of the stream or left in it
 * (SO_OOBINLINE).
 *
 * PARITY: switches=20 threads=8
 */
#include "parity.h"

static int pair[2];
static long waiting;

static void* receive(void* argument) {
    static char text[100];
    long total[3] = {0};
    for (int i = 0; i < 3; i++) {
        struct iovec v = {text, sizeof text};
        struct msghdr message = {.msg_iov = &v, .msg_iovlen = 1};
        add_to(&waiting, 1);
        total[i] = argument ? recvmsg(pair[0], &message, MSG_WAITALL)
                            : recv(pair[0], text, sizeof text, MSG_WAITALL);
        if (total[i] <= 0) break;
    }
    say("%ld, %ld, %ld", total[0], total[1], total[2]);
    return NULL;
}

int main(void) {
    start_ticking();
    for (int way = 0; way < 8; way++) {
        int in_line = way >> 2 & 1;
        way & 1 ? tcp_pair(pair) : unix_pair(pair);
        SAME(setsockopt(pair[0], SOL_SOCKET, SO_OOBINLINE, &in_line, sizeof in_line), 0);
        set_to(&waiting, 0);
        pthread_t thread = start(receive, way & 2 ? &waiting : NULL);
        wait_for(&waiting, 1);
        wait_ticks(10);
        SAME(send(pair[1], "before", 6, 0), 6);
        wait_ticks(10);
        SAME(send(pair[1], "more!", 5, MSG_OOB), 5);
        wait_ticks(10);
        SAME(send(pair[1], "behind", 6, 0), 6);
        wait_ticks(10);
        SAME(close(pair[1]), 0);
        join(thread);
        SAME(close(pair[0]), 0);
    }
    stop_ticking();
    return 0;
}
