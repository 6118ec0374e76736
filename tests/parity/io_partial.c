/* A call that has transferred a part when a signal handler runs, and would have to wait for more,
 * returns that part, also under SA_RESTART: recv and recvmsg with MSG_WAITALL, write, writev, send
 * and sendfile on TCP, Unix sockets and pipes. The time-outs of MSG_WAITALL and of sends on TCP
 * count from the call's beginning, however many pieces come meanwhile.
 *
 * PARITY: switches=20 threads=10 */
#include "parity.h"

#include <sys/sendfile.h>

enum { LARGE = 8 << 20 };

static char large[LARGE];
static pthread_t caller;
static int pair[2], file;
static long done;

static void handler(int number) { SAME(number, SIGUSR1); }

/* More than one, as the first may come before the call. */
static void* interrupt_until_done(void* argument) {
    do {
        wait_ticks(10);
        SAME(pthread_kill(caller, SIGUSR1), 0);
    } while (!value_of(&done));
    return argument;
}

/* Sends half of six bytes, then signals until that was returned, then the rest. */
static void* send_halves(void* argument) {
    wait_ticks(5);
    write_all(pair[1], "abc", 3);
    interrupt_until_done(NULL);
    write_all(pair[1], "def", 3);
    return argument;
}

static void receive_halves(const char* what, int by_message) {
    char data[7] = "";
    struct iovec pieces[2] = {{data, 2}, {data + 2, 4}};
    struct msghdr message = {.msg_iov = pieces, .msg_iovlen = 2};
    set_to(&done, 0);
    pthread_t thread = start(send_halves, NULL);
    ssize_t got =
        by_message ? recvmsg(pair[0], &message, MSG_WAITALL) : recv(pair[0], data, 6, MSG_WAITALL);
    set_to(&done, 1);
    join(thread);
    CHECK(got >= 0);
    SAME(read_all(pair[0], data + got, 6 - (size_t)got), 6 - got);
    CHECK(strcmp(data, "abcdef") == 0);
    say("%s: %zd of 6", what, got);
}

static ssize_t write_large(int way, int fd) {
    struct iovec pieces[2] = {{large, LARGE / 2}, {large + LARGE / 2, LARGE / 2}};
    if (way == 0) return write(fd, large, LARGE);
    if (way == 1) return writev(fd, pieces, 2);
    if (way == 2) return send(fd, large, LARGE, 0);
    off_t at = 0;
    return sendfile(fd, file, &at, LARGE);
}

static void write_until_interrupted(const char* what, int way, int fd) {
    set_to(&done, 0);
    pthread_t thread = start(interrupt_until_done, NULL);
    ssize_t written = write_large(way, fd);
    set_to(&done, 1);
    join(thread);
    CHECK(written >= 0);
    say("%s: %s", what, written > 0 && written < LARGE ? "a part" : "?");
}

static void* drip(void* argument) {
    for (int i = 0; i < 12; i++) {
        sleep_ms(40);
        write_all(pair[1], "x", 1);
    }
    return argument;
}

int main(void) {
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
    SAME(sigaction(SIGUSR1, &action, NULL), 0);
    caller = pthread_self();
    start_ticking();
    unix_pair(pair);
    receive_halves("Unix recv", 0);
    receive_halves("Unix recvmsg", 1);
    char name[] = "/tmp/parity-XXXXXX";
    file = mkstemp(name);
    SAME(unlink(name), 0);
    write_all(file, large, LARGE);
    static const char* const names[] = {"write", "writev", "send", "sendfile"};
    for (int way = 0; way < 4; way++) {
        int fresh[2];
        unix_pair(fresh);
        write_until_interrupted(names[way], way, fresh[0]);
        tcp_pair(fresh);
        write_until_interrupted(names[way], way, fresh[0]);
        if (way == 2) continue;
        SAME(pipe(fresh), 0);
        write_until_interrupted(names[way], way, fresh[1]);
    }
    tcp_pair(pair);
    receive_halves("TCP recv", 0);
    receive_halves("TCP recvmsg", 1);

    char data[100];
    struct timeval limit = timeval_ms(200);
    SAME(setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit), 0);
    pthread_t thread = start(drip, NULL);
    double begun = now_ms();
    ssize_t got = recv(pair[0], data, 12, MSG_WAITALL);
    TOOK(begun, 200);
    say("one time for all pieces: %s", got > 0 && got < 12 ? "a part" : "?");
    join(thread);
    stop_ticking();
    return 0;
}
