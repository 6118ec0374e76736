/* connect to a listener whose queue is full. Unix: the caller waits (there is nothing to poll for)
 * until another thread accepts; non-blocking: EAGAIN; with SO_SNDTIMEO: EAGAIN after that time.
 * TCP: the caller waits for its SYN to be answered; with SO_SNDTIMEO: EINPROGRESS after that time.
 *
 * PARITY: switches=10 threads=4 */
#include "parity.h"

static struct sockaddr_un name;
static socklen_t name_length;
static long connected;

static int unix_socket(int flags) {
    int fd = socket(AF_UNIX, SOCK_STREAM | flags, 0);
    CHECK(fd >= 0);
    return fd;
}

static void* connect_and_wait(void* argument) {
    int fd = unix_socket(0);
    (void)argument;
    SAME(connect(fd, (struct sockaddr*)&name, name_length), 0);
    add_to(&connected, 1);
    char byte;
    SAME(read(fd, &byte, 1), 1);
    SAME(byte, 'k');
    SAME(is_nonblocking(fd), 0);
    SAME(close(fd), 0);
    return NULL;
}

static void full_unix_queue(void) {
    int listener = unix_socket(0);
    name_length = unix_name(&name, "full");
    SAME(bind(listener, (struct sockaddr*)&name, name_length), 0);
    SAME(listen(listener, 0), 0); /* one connection may wait */
    int first = unix_socket(0);
    SAME(connect(first, (struct sockaddr*)&name, name_length), 0);

    int fd = unix_socket(SOCK_NONBLOCK);
    FAILS(connect(fd, (struct sockaddr*)&name, name_length), EAGAIN);
    SAME(close(fd), 0);
    say("Unix, non-blocking: EAGAIN");

    fd = unix_socket(0);
    struct timeval wait = timeval_ms(120);
    SAME(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait), 0);
    double begun = now_ms();
    long before = ticks();
    FAILS(connect(fd, (struct sockaddr*)&name, name_length), EAGAIN);
    TOOK(begun, 120);
    CHECK(ticks() > before);
    SAME(is_nonblocking(fd), 0);
    SAME(close(fd), 0);
    say("Unix, SO_SNDTIMEO: EAGAIN");

    pthread_t clients[3];
    for (int i = 0; i < 3; i++) clients[i] = start(connect_and_wait, NULL);
    wait_ticks(20);
    SAME(value_of(&connected), 0); /* all three are still waiting */
    for (int i = 0; i < 4; i++) {
        fd = accept(listener, NULL, NULL);
        CHECK(fd >= 0);
        SAME(send(fd, "k", 1, MSG_NOSIGNAL), 1);
        SAME(close(fd), 0);
    }
    for (int i = 0; i < 3; i++) join(clients[i]);
    SAME(close(first), 0);
    SAME(close(listener), 0);
    say("Unix: three waited and got through");
}

static void full_tcp_queue(void) {
    int listener = tcp_listen(0);
    struct sockaddr_in address = loopback(port_of(listener));
    int fds[20], count = 0;
    struct pollfd ready = {-1, POLLOUT, 0};
    do { /* until a SYN stays unanswered */
        CHECK(count < 20);
        ready.fd = fds[count++] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        FAILS(connect(ready.fd, (struct sockaddr*)&address, sizeof address), EINPROGRESS);
    } while (poll(&ready, 1, 100) == 1);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct timeval wait = timeval_ms(150);
    SAME(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait), 0);
    double begun = now_ms();
    long before = ticks();
    FAILS(connect(fd, (struct sockaddr*)&address, sizeof address), EINPROGRESS);
    TOOK(begun, 150);
    CHECK(ticks() > before);
    FAILS(connect(fd, (struct sockaddr*)&address, sizeof address), EALREADY);
    SAME(is_nonblocking(fd), 0);
    say("TCP, SO_SNDTIMEO: EINPROGRESS, then EALREADY");
    SAME(close(fd), 0);
    while (count > 0) SAME(close(fds[--count]), 0);
    SAME(close(listener), 0);
}

int main(void) {
    start_ticking();
    full_unix_queue();
    full_tcp_queue();
    stop_ticking();
    return 0;
}
