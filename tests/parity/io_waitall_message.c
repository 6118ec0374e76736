/* recvmsg with MSG_WAITALL: on a stream until all has come, with and without room for control
 * messages, of which descriptors end it; of a datagram it takes just that one.
 *
 * PARITY: threads=5 */
#include "parity.h"

static int ends[2];

static void* send_in_pieces(void* unused) {
    wait_ticks(10);
    SAME(send(ends[0], "abc", 3, 0), 3);
    wait_ticks(10);
    SAME(send(ends[0], "defgh", 5, 0), 5);
    return unused;
}

static void receive(const char* what, size_t room) {
    char first[3], second[5], control[64];
    struct sockaddr_storage from;
    struct iovec pieces[2] = {{first, 3}, {second, 5}};
    struct msghdr message = {.msg_name = &from,
                             .msg_namelen = sizeof from,
                             .msg_iov = pieces,
                             .msg_iovlen = 2,
                             .msg_control = room > 0 ? control : NULL,
                             .msg_controllen = room};
    ssize_t got = recvmsg(ends[1], &message, MSG_WAITALL);
    say("%s, room for %zu: %zd; name %u, control %zu, flags %x; %.3s %.*s", what, room, got,
        message.msg_namelen, message.msg_controllen, (unsigned)message.msg_flags, first,
        got > 3 ? (int)got - 3 : 0, second);
    if (message.msg_controllen > 0) close(*(int*)CMSG_DATA(CMSG_FIRSTHDR(&message)));
    while ((got = recv(ends[1], control, sizeof control, MSG_DONTWAIT)) > 0) {
        say("left: %zd", got);
    }
}

static void send_descriptor(void) {
    char control[CMSG_SPACE(sizeof(int))] = {0};
    struct iovec piece = {"ab", 2};
    struct msghdr message = {.msg_iov = &piece,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = sizeof control};
    struct cmsghdr* c = CMSG_FIRSTHDR(&message);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(c), &ends[0], sizeof(int));
    SAME(sendmsg(ends[0], &message, 0), 2);
}

int main(void) {
    start_ticking();
    for (size_t room = 0; room <= 64; room += 64) {
        tcp_pair(ends);
        pthread_t sender = start(send_in_pieces, NULL);
        receive("TCP", room);
        join(sender);
        unix_pair(ends);
        sender = start(send_in_pieces, NULL);
        receive("Unix", room);
        join(sender);
        SAME(socketpair(AF_UNIX, SOCK_DGRAM, 0, ends), 0);
        SAME(send(ends[0], "abc", 3, 0), 3);
        SAME(send(ends[0], "defg", 4, 0), 4);
        receive("datagrams", room);
        SAME(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
        SAME(send(ends[0], "abc", 3, 0), 3);
        SAME(send(ends[0], "defg", 4, 0), 4);
        receive("packets", room);
    }
    unix_pair(ends);
    SAME(send(ends[0], "x", 1, 0), 1);
    send_descriptor();
    SAME(send(ends[0], "yz", 2, 0), 2);
    receive("descriptors", 64);
    stop_ticking();
    return 0;
}
