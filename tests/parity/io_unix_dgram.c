/* Unix datagrams: a full receiver blocks its senders, connected or not (for the latter the sender's
 * own socket is always ready, so readiness alone cannot tell when to try again), until another
 * thread reads; MSG_DONTWAIT and SO_SNDTIMEO end in EAGAIN; a closed receiver in ECONNREFUSED.
 *
 * PARITY: switches=10 threads=3 */
#include "parity.h"

enum { MESSAGES = 200 };

static struct sockaddr_un name;
static socklen_t name_length;

static void* send_many(void* argument) {
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    int connected = argument != NULL;
    if (connected) SAME(connect(fd, (struct sockaddr*)&name, name_length), 0);
    for (int i = 0; i < MESSAGES; i++) {
        ssize_t n = connected ? send(fd, &i, sizeof i, 0)
                              : sendto(fd, &i, sizeof i, 0, (struct sockaddr*)&name, name_length);
        SAME(n, sizeof i);
    }
    SAME(close(fd), 0);
    return NULL;
}

static void read_slowly(int fd) {
    for (int i = 0; i < MESSAGES; i++) {
        int value = -1;
        if (i % 50 == 0) wait_ticks(3); /* the sender is blocked by now */
        SAME(recv(fd, &value, sizeof value, 0), sizeof value);
        SAME(value, i);
    }
}

int main(void) {
    start_ticking();
    name_length = unix_name(&name, "inbox");
    int inbox = socket(AF_UNIX, SOCK_DGRAM, 0);
    SAME(bind(inbox, (struct sockaddr*)&name, name_length), 0);

    pthread_t thread = start(send_many, &name);
    read_slowly(inbox);
    join(thread);
    say("connected sender: %d messages", MESSAGES);

    thread = start(send_many, NULL);
    read_slowly(inbox);
    join(thread);
    say("unconnected sender: %d messages", MESSAGES);

    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    const struct sockaddr* to = (const struct sockaddr*)&name;
    while (sendto(fd, "x", 1, MSG_DONTWAIT, to, name_length) == 1) continue;
    SAME(errno, EAGAIN);
    struct timeval wait = timeval_ms(100);
    SAME(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait), 0);
    double begun = now_ms();
    long before = ticks();
    FAILS(sendto(fd, "x", 1, 0, to, name_length), EAGAIN);
    TOOK(begun, 100);
    CHECK(ticks() > before);
    say("a full receiver: EAGAIN at once, or after SO_SNDTIMEO");
    SAME(close(inbox), 0);
    FAILS(sendto(fd, "x", 1, 0, to, name_length), ECONNREFUSED);
    say("a closed receiver: ECONNREFUSED");
    stop_ticking();
    return 0;
}
