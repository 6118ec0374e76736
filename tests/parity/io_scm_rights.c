/* Descriptors travel over a Unix socket (SCM_RIGHTS): the receiver is blocked in recvmsg until they
 * come; what arrives has a number that may have meant something else before; MSG_CMSG_CLOEXEC,
 * MSG_CTRUNC, MSG_PEEK; a thread then blocks on the descriptor that came.
 *
 * PARITY: switches=20 threads=3 */
#include "parity.h"

static int line[2];

static void send_descriptor(int fd, char tag) {
    union {
        struct cmsghdr head;
        char space[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec piece = {&tag, 1};
    struct msghdr message;
    memset(&message, 0, sizeof message);
    memset(&control, 0, sizeof control);
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    message.msg_control = &control;
    message.msg_controllen = sizeof control.space;
    control.head.cmsg_level = SOL_SOCKET;
    control.head.cmsg_type = SCM_RIGHTS;
    control.head.cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(&control.head), &fd, sizeof fd);
    SAME(sendmsg(line[1], &message, 0), 1);
}

/* Returns the descriptor that came, or -1; `room` bytes for it. */
static int receive_descriptor(int flags, char tag, size_t room, int* truncated) {
    union {
        struct cmsghdr head;
        char space[CMSG_SPACE(sizeof(int))];
    } control;
    char data;
    struct iovec piece = {&data, 1};
    struct msghdr message;
    memset(&message, 0, sizeof message);
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    message.msg_control = &control;
    message.msg_controllen = room;
    SAME(recvmsg(line[0], &message, flags), 1);
    SAME(data, tag);
    *truncated = (message.msg_flags & MSG_CTRUNC) != 0;
    struct cmsghdr* head = CMSG_FIRSTHDR(&message);
    if (head == NULL) return -1;
    SAME(head->cmsg_level, SOL_SOCKET);
    SAME(head->cmsg_type, SCM_RIGHTS);
    SAME(head->cmsg_len, CMSG_LEN(sizeof(int)));
    int fd;
    memcpy(&fd, CMSG_DATA(head), sizeof fd);
    return fd;
}

static void* send_round(void* argument) {
    int round = (int)(intptr_t)argument, ends[2];
    wait_ticks(2);
    round % 2 ? tcp_pair(ends) : unix_pair(ends);
    send_descriptor(ends[0], (char)round);
    SAME(close(ends[0]), 0);
    wait_ticks(2); /* the other thread is blocked reading from what it got */
    SAME(write(ends[1], &round, sizeof round), sizeof round);
    SAME(close(ends[1]), 0);
    return NULL;
}

int main(void) {
    start_ticking();
    unix_pair(line);
    int truncated, value;
    for (int round = 0; round < 10; round++) {
        int other[2]; /* gives the number that comes a past */
        SAME(pipe(other), 0);
        SAME(write(other[1], "x", 1), 1);
        SAME(read(other[0], &value, 4), 1);
        SAME(close(other[0]), 0);
        SAME(close(other[1]), 0);
        pthread_t thread = start(send_round, (void*)(intptr_t)round);
        int fd = receive_descriptor(round % 3 ? 0 : MSG_CMSG_CLOEXEC, (char)round,
                                    CMSG_SPACE(sizeof(int)), &truncated);
        CHECK(fd >= 0);
        SAME(truncated, 0);
        SAME(fcntl(fd, F_GETFD), round % 3 ? 0 : FD_CLOEXEC);
        SAME(read(fd, &value, sizeof value), sizeof value);
        SAME(value, round);
        SAME(read(fd, &value, sizeof value), 0);
        SAME(close(fd), 0);
        join(thread);
    }
    say("10 descriptors came and worked");

    send_descriptor(STDIN_FILENO, 't');
    SAME(receive_descriptor(0, 't', 0, &truncated), -1);
    SAME(truncated, 1);
    say("no room: MSG_CTRUNC");

    send_descriptor(STDIN_FILENO, 'p');
    int peeked = receive_descriptor(MSG_PEEK, 'p', CMSG_SPACE(sizeof(int)), &truncated);
    int fd = receive_descriptor(0, 'p', CMSG_SPACE(sizeof(int)), &truncated);
    CHECK(peeked >= 0 && fd >= 0 && fd != peeked);
    SAME(close(fd), 0);
    SAME(close(peeked), 0);
    say("MSG_PEEK makes a descriptor of its own");

    struct msghdr message;
    memset(&message, 0, sizeof message);
    FAILS(recvmsg(line[0], &message, MSG_DONTWAIT), EAGAIN);
    SAME(close(line[1]), 0);
    SAME(recvmsg(line[0], &message, 0), 0);
    say("the end");
    stop_ticking();
    return 0;
}
