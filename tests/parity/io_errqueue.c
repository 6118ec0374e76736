/* The error queue of a socket (MSG_ERRQUEUE): asking an empty one never waits, not even on a
 * blocking socket; an ICMP answer lies there with its origin, wakes a poll, and leaves the ordinary
 * receive waiting for ordinary data.
 *
 * PARITY: switches=10 threads=3 */
#include "parity.h"

#include <linux/errqueue.h>

static int fd;

static void* send_later(void* argument) {
    struct sockaddr_in address = loopback(port_of(fd));
    int sender = (int)(intptr_t)argument;
    wait_ticks(10);
    SAME(sendto(sender, "data", 4, 0, (struct sockaddr*)&address, sizeof address), 4);
    return NULL;
}

static ssize_t ask_queue(struct msghdr* message, char* control, size_t size) {
    static char data[64];
    static struct iovec part;
    part.iov_base = data;
    part.iov_len = sizeof data;
    memset(message, 0, sizeof *message);
    message->msg_iov = &part;
    message->msg_iovlen = 1;
    message->msg_control = control;
    message->msg_controllen = size;
    return recvmsg(fd, message, MSG_ERRQUEUE);
}

static void* wait_for_error(void* argument) {
    struct pollfd one = {fd, 0, 0};
    SAME(poll(&one, 1, -1), 1);
    SAME(one.revents, POLLERR);
    return argument;
}

int main(void) {
    char control[256], data[64];
    struct msghdr message;
    int yes = 1, pair[2];
    start_ticking();
    fd = inet_socket(SOCK_DGRAM);
    FAILS(recv(fd, data, sizeof data, MSG_ERRQUEUE), EAGAIN);
    FAILS(recvfrom(fd, data, sizeof data, MSG_ERRQUEUE, NULL, NULL), EAGAIN);
    FAILS(ask_queue(&message, control, sizeof control), EAGAIN);
    tcp_pair(pair);
    FAILS(recv(pair[0], data, sizeof data, MSG_ERRQUEUE), EAGAIN);
    say("an empty error queue");

    /* A datagram to a port that nobody has: it was free a moment ago. */
    int free_port = inet_socket(SOCK_DGRAM);
    struct sockaddr_in nobody = loopback(port_of(free_port));
    SAME(close(free_port), 0);
    SAME(setsockopt(fd, IPPROTO_IP, IP_RECVERR, &yes, sizeof yes), 0);
    pthread_t thread = start(wait_for_error, NULL);
    wait_ticks(5);
    SAME(sendto(fd, "lost", 4, 0, (struct sockaddr*)&nobody, sizeof nobody), 4);
    join(thread);
    SAME(ask_queue(&message, control, sizeof control), 4);
    CHECK(message.msg_flags & MSG_ERRQUEUE);
    for (struct cmsghdr* c = CMSG_FIRSTHDR(&message); c != NULL; c = CMSG_NXTHDR(&message, c)) {
        if (c->cmsg_level != IPPROTO_IP || c->cmsg_type != IP_RECVERR) continue;
        struct sock_extended_err error;
        memcpy(&error, CMSG_DATA(c), sizeof error);
        say("origin %d, error %s", error.ee_origin, parity_errno_name((int)error.ee_errno));
    }
    FAILS(ask_queue(&message, control, sizeof control), EAGAIN);

    int sender = inet_socket(SOCK_DGRAM);
    thread = start(send_later, (void*)(intptr_t)sender);
    ssize_t n = recv(fd, data, sizeof data, 0);
    if (n < 0) n = recv(fd, data, sizeof data, 0); /* the error may be told once more */
    SAME(n, 4);
    join(thread);
    say("ordinary data");
    stop_ticking();
    return 0;
}
