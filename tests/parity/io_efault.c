/* Argument blocks at bad addresses (a message header, a vector, a time, descriptor sets): EFAULT
 * from the kernel, which is the only one that can look there and live.
 *
 * PARITY: switches=5 threads=1 */
#include "parity.h"

#include <sys/epoll.h>

int main(void) {
    start_ticking();
    wait_ticks(5);
    int pair[2];
    void* bad = bad_address();
    unix_pair(pair);
    SAME(write(pair[1], "12345678", 8), 8);
    FAILS(readv(pair[0], (struct iovec*)bad, hidden(1)), EFAULT);
    FAILS(writev(pair[0], (struct iovec*)bad, hidden(2)), EFAULT);
    say("vectors");
    FAILS(recvmsg(pair[0], (struct msghdr*)bad, 0), EFAULT);
    FAILS(sendmsg(pair[0], (struct msghdr*)bad, 0), EFAULT);
    FAILS(recvmmsg(pair[0], (struct mmsghdr*)bad, (unsigned)hidden(1), 0, NULL), EFAULT);
    FAILS(sendmmsg(pair[0], (struct mmsghdr*)bad, (unsigned)hidden(1), 0), EFAULT);
    struct msghdr message;
    memset(&message, 0, sizeof message);
    message.msg_iov = (struct iovec*)bad;
    message.msg_iovlen = 1;
    FAILS(recvmsg(pair[0], &message, 0), EFAULT);
    FAILS(sendmsg(pair[0], &message, 0), EFAULT);
    say("messages");
    FAILS(poll((struct pollfd*)bad, (nfds_t)hidden(1), 10), EFAULT);
    FAILS(select(pair[0] + 1, (fd_set*)bad, NULL, NULL, NULL), EFAULT);
    int set = epoll_create1(0);
    struct epoll_event event = {EPOLLIN, {0}};
    SAME(epoll_ctl(set, EPOLL_CTL_ADD, pair[0], &event), 0);
    FAILS(epoll_wait(set, (struct epoll_event*)bad, hidden(1), 0), EFAULT);
    say("descriptor sets");
    FAILS(nanosleep((struct timespec*)bad, NULL), EFAULT);
    SAME(clock_nanosleep(CLOCK_MONOTONIC, 0, (struct timespec*)bad, NULL), EFAULT);
    say("times");
    stop_ticking();
    return 0;
}
