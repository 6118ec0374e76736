/* Datagrams: a receiver blocked until another thread sends; sizes and boundaries, MSG_TRUNC's real
 * length, empty datagrams (0 is not the end), the sender's address, connected sockets and the
 * ECONNREFUSED which an ICMP message brings, SO_RCVTIMEO.
 *
 * PARITY: switches=10 threads=2 */
#include "parity.h"

static struct sockaddr_in receiver_address, sender_address;

static void* send_some(void* argument) {
    int fd = (int)(intptr_t)argument;
    const struct sockaddr* to = (const struct sockaddr*)&receiver_address;
    char data[2000];
    for (size_t size = 0; size <= 2000; size += 100) {
        if (size % 500 == 0) wait_ticks(2); /* so that the receiver waits now and then */
        fill_pattern(data, size, 0, (unsigned)size);
        SAME(sendto(fd, data, size, 0, to, sizeof receiver_address), size);
    }
    return NULL;
}

static void receive_all(int receiver) {
    char data[3000];
    long total = 0;
    for (size_t size = 0; size <= 2000; size += 100) {
        struct sockaddr_in from;
        socklen_t length = sizeof from;
        SAME(recvfrom(receiver, data, sizeof data, 0, (struct sockaddr*)&from, &length), size);
        SAME(length, sizeof from);
        CHECK(memcmp(&from, &sender_address, 8) == 0);
        CHECK(is_pattern(data, size, 0, (unsigned)size));
        total += (long)size;
    }
    say("21 datagrams in order, %ld bytes", total);
}

int main(void) {
    start_ticking();
    int receiver = inet_socket(SOCK_DGRAM), sender = inet_socket(SOCK_DGRAM);
    receiver_address = loopback(port_of(receiver));
    sender_address = loopback(port_of(sender));
    pthread_t thread = start(send_some, (void*)(intptr_t)sender);
    receive_all(receiver);
    join(thread);

    char data[16];
    const struct sockaddr* to = (const struct sockaddr*)&receiver_address;
    SAME(sendto(sender, "0123456789", 10, 0, to, sizeof receiver_address), 10);
    SAME(recv(receiver, data, 4, MSG_PEEK | MSG_TRUNC), 10);
    SAME(recv(receiver, data, 4, 0), 4); /* the rest of it is gone */
    FAILS(recv(receiver, data, 4, MSG_DONTWAIT), EAGAIN);
    say("a long datagram is cut");

    struct timeval wait = timeval_ms(120);
    SAME(setsockopt(receiver, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait), 0);
    double begun = now_ms();
    long before = ticks();
    FAILS(recvfrom(receiver, data, sizeof data, 0, NULL, NULL), EAGAIN);
    TOOK(begun, 120);
    CHECK(ticks() > before);
    say("SO_RCVTIMEO ends a wait");

    SAME(connect(sender, to, sizeof receiver_address), 0);
    SAME(write(sender, "x", 1), 1);
    SAME(read(receiver, data, sizeof data), 1);
    SAME(write(sender, "", 0), 0);
    SAME(read(receiver, data, sizeof data), 0);
    SAME(close(receiver), 0);
    SAME(send(sender, "lost", 4, 0), 4);
    FAILS(recv(sender, data, sizeof data, 0), ECONNREFUSED);
    SAME(send(sender, "lost", 4, 0), 4);
    struct pollfd error = {sender, POLLIN, 0};
    SAME(poll(&error, 1, -1), 1);
    CHECK(error.revents & POLLERR);
    FAILS(send(sender, "lost", 4, 0), ECONNREFUSED);
    say("connected: empty datagrams and refusals");

    char* large = (char*)calloc(1, 70000);
    FAILS(send(sender, large, 70000, 0), EMSGSIZE);
    free(large);
    struct sockaddr nowhere;
    memset(&nowhere, 0, sizeof nowhere);
    SAME(connect(sender, &nowhere, sizeof nowhere), 0); /* AF_UNSPEC: disconnects */
    FAILS(send(sender, "x", 1, 0), EDESTADDRREQ);
    say("EMSGSIZE, EDESTADDRREQ");
    stop_ticking();
    return 0;
}
