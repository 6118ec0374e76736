/* Wrong arguments where a right call would wait: the kernel looks at these arguments first, so the
 * answer comes at once although there is nothing to receive. (Who remembers that a descriptor is
 * empty and waits without asking never hears it.)
 *
 * PARITY: timeout=10 switches=5 threads=1 */
#include "parity.h"

#include <sys/eventfd.h>
#include <sys/timerfd.h>

int main(void) {
    start_ticking();
    wait_ticks(5);
    char byte;
    uint64_t number = 1;
    int counter = eventfd(0, 0), timer = timerfd_create(CLOCK_MONOTONIC, 0);
    SAME(write(counter, &number, 8), 8);
    SAME(read(counter, &number, 8), 8); /* empty from here on */
    FAILS(read(counter, &number, (size_t)hidden(4)), EINVAL);
    FAILS(read(timer, &number, (size_t)hidden(7)), EINVAL);
    say("eventfd, timerfd: no room for a number");

    int pair[2];
    tcp_pair(pair);
    struct timeval wait = timeval_ms(30);
    SAME(setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait), 0);
    FAILS(recv(pair[0], &byte, 1, 0), EAGAIN);
    wait = timeval_ms(0);
    SAME(setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait), 0);
    struct iovec piece = {&byte, 1};
    struct msghdr message;
    memset(&message, 0, sizeof message);
    message.msg_iov = &piece;
    message.msg_iovlen = (size_t)hidden(IOV_MAX + 1);
    FAILS(readv(pair[0], &piece, hidden(-1)), EINVAL);
    FAILS(recvmsg(pair[0], &message, 0), EMSGSIZE);
    FAILS(recv(pair[0], &byte, 1, MSG_OOB), EINVAL);
    say("TCP: a bad vector, no urgent data");

    int listener = tcp_listen(1);
    SAME(setsockopt(listener, SOL_SOCKET, SO_RCVTIMEO, &(struct timeval){0, 30000}, sizeof wait),
         0);
    FAILS(accept(listener, NULL, NULL), EAGAIN);
    SAME(setsockopt(listener, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait), 0);
    FAILS(accept4(listener, NULL, NULL, hidden(1)), EINVAL);
    FAILS(accept(inet_socket(SOCK_DGRAM), NULL, NULL), EOPNOTSUPP);
    say("accept: an unknown flag, a socket that never listens");
    stop_ticking();
    return 0;
}
