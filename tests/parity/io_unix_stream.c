/* Unix stream and seqpacket sockets: names in the file system and abstract ones, accept and connect
 * in different threads, peer credentials, message boundaries of SOCK_SEQPACKET with MSG_TRUNC.
 *
 * PARITY: switches=10 threads=4 */
#include "parity.h"

struct place {
    struct sockaddr_un address;
    socklen_t length;
    int type;
    int listener;
};

static void* answer(void* argument) {
    struct place* place = (struct place*)argument;
    struct sockaddr_un peer;
    socklen_t length = sizeof peer;
    int fd = accept(place->listener, (struct sockaddr*)&peer, &length);
    CHECK(fd >= 0);
    SAME(length, sizeof(sa_family_t)); /* an unnamed peer */
    struct ucred who;
    socklen_t size = sizeof who;
    SAME(getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size), 0);
    SAME(who.pid, getpid());
    char word[16];
    for (ssize_t n; (n = recv(fd, word, sizeof word, 0)) > 0;)
        SAME(send(fd, word, (size_t)n, 0), n);
    SAME(close(fd), 0);
    return NULL;
}

static void talk(struct place* place, const char* title) {
    place->listener = socket(AF_UNIX, place->type, 0);
    CHECK(place->listener >= 0);
    SAME(bind(place->listener, (struct sockaddr*)&place->address, place->length), 0);
    SAME(listen(place->listener, 3), 0);
    pthread_t thread = start(answer, place);
    wait_ticks(3);
    int fd = socket(AF_UNIX, place->type, 0);
    SAME(connect(fd, (struct sockaddr*)&place->address, place->length), 0);
    char back[16];
    for (int i = 1; i <= 10; i++) {
        SAME(send(fd, "0123456789", (size_t)i, 0), i);
        SAME(recv(fd, back, sizeof back, 0), i);
        CHECK(memcmp(back, "0123456789", (size_t)i) == 0);
    }
    if (place->type == SOCK_SEQPACKET) {
        SAME(send(fd, "abcdef", 6, 0), 6);
        SAME(send(fd, "gh", 2, 0), 2);
        struct pollfd both = {fd, POLLIN, 0};
        SAME(poll(&both, 1, -1), 1);
        SAME(recv(fd, back, 3, MSG_PEEK | MSG_TRUNC), 6);
        struct iovec piece = {back, 3};
        struct msghdr message;
        memset(&message, 0, sizeof message);
        message.msg_iov = &piece;
        message.msg_iovlen = 1;
        SAME(recvmsg(fd, &message, 0), 3);
        CHECK(message.msg_flags & MSG_TRUNC);
        SAME(recv(fd, back, sizeof back, 0), 2);
        CHECK(memcmp(back, "gh", 2) == 0);
    }
    SAME(shutdown(fd, SHUT_WR), 0);
    SAME(recv(fd, back, sizeof back, 0), 0);
    SAME(close(fd), 0);
    join(thread);
    SAME(close(place->listener), 0);
    say("%s: done", title);
}

int main(void) {
    start_ticking();
    struct place place;
    place.length = unix_name(&place.address, "stream");
    place.type = SOCK_STREAM;
    talk(&place, "abstract stream");
    place.length = unix_name(&place.address, "packets");
    place.type = SOCK_SEQPACKET;
    talk(&place, "abstract seqpacket");
    memset(&place.address, 0, sizeof place.address);
    place.address.sun_family = AF_UNIX;
    strcpy(place.address.sun_path, "stream.socket"); /* the runner's folder for this run */
    place.length = sizeof place.address;
    place.type = SOCK_STREAM;
    talk(&place, "stream in the file system");
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    FAILS(connect(fd, (struct sockaddr*)&place.address, place.length), ECONNREFUSED);
    SAME(unlink("stream.socket"), 0);
    FAILS(connect(fd, (struct sockaddr*)&place.address, place.length), ENOENT);
    SAME(close(fd), 0);
    stop_ticking();
    return 0;
}
