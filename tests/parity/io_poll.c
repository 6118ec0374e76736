/* poll and ppoll: timeouts of zero, some and for ever, no descriptors, several at once, what each
 * event bit says on each kind of descriptor, negative and closed descriptors, regular files, a
 * listener, the errors. While a thread is in poll the others go on.
 *
 * PARITY: switches=20 threads=5 */
#include "parity.h"

static const char* events(int bits) {
    static char text[100];
    const struct {
        int bit;
        const char* name;
    } table[] = {{POLLIN, "IN "},   {POLLOUT, "OUT "}, {POLLPRI, "PRI "},  {POLLRDHUP, "RDHUP "},
                 {POLLHUP, "HUP "}, {POLLERR, "ERR "}, {POLLNVAL, "NVAL "}};
    text[0] = 0;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (bits & table[i].bit) strcat(text, table[i].name);
    return text;
}

static void show(const char* what, int fd) {
    struct pollfd one = {fd, POLLIN | POLLOUT | POLLRDHUP, -1};
    int count = poll(&one, 1, 0);
    SAME(count, one.revents != 0);
    say("%s: %s", what, events(one.revents));
}

static void* write_soon(void* argument) {
    wait_ticks(4);
    SAME(write((int)(intptr_t)argument, "x", 1), 1);
    return NULL;
}

static void* connect_soon(void* argument) {
    wait_ticks(4);
    return (void*)(intptr_t)tcp_connect((int)(intptr_t)argument);
}

static void timeouts(void) {
    int ends[2];
    SAME(pipe(ends), 0);
    struct pollfd fds[2] = {{ends[0], POLLIN, 0}, {ends[0], POLLIN | POLLOUT, 0}};
    SAME(poll(fds, 2, 0), 0);
    double begun = now_ms();
    long before = ticks();
    SAME(poll(fds, 2, 80), 0);
    CHECK(now_ms() - begun >= 80);
    CHECK(ticks() > before);
    SAME(fds[0].revents | fds[1].revents, 0);
    begun = now_ms();
    SAME(poll(NULL, 0, 50), 0);
    CHECK(now_ms() - begun >= 50);
    struct timespec wait = timespec_ms(50), same = wait;
    begun = now_ms();
    SAME(ppoll(fds, 1, &wait, NULL), 0);
    CHECK(now_ms() - begun >= 50);
    CHECK(wait.tv_sec == same.tv_sec && wait.tv_nsec == same.tv_nsec);
    say("timeouts");

    pthread_t thread = start(write_soon, (void*)(intptr_t)ends[1]);
    SAME(poll(fds, 2, -1), 2); /* the same descriptor twice */
    SAME(fds[0].revents & fds[1].revents, POLLIN);
    join(thread);
    char byte;
    SAME(read(ends[0], &byte, 1), 1);
    thread = start(write_soon, (void*)(intptr_t)ends[1]);
    sigset_t none;
    sigemptyset(&none);
    SAME(ppoll(fds, 1, NULL, &none), 1);
    join(thread);
    SAME(poll(fds, 1, -5), 1);
    SAME(poll(fds, 1, 20000), 1);
    say("for ever");
    SAME(close(ends[0]), 0);
    SAME(close(ends[1]), 0);
}

static void kinds(void) {
    int ends[2];
    SAME(pipe(ends), 0);
    show("pipe, read end", ends[0]);
    show("pipe, write end", ends[1]);
    fill_up(ends[1]);
    show("full pipe, write end", ends[1]);
    SAME(close(ends[1]), 0);
    show("pipe with data, writer gone", ends[0]);
    char data[4096];
    while (read(ends[0], data, sizeof data) > 0) continue;
    show("pipe, writer gone", ends[0]);
    SAME(close(ends[0]), 0);
    show("closed", ends[0]);
    SAME(pipe(ends), 0);
    SAME(close(ends[0]), 0);
    show("pipe, reader gone", ends[1]);
    SAME(close(ends[1]), 0);

    unix_pair(ends);
    show("Unix", ends[0]);
    SAME(shutdown(ends[1], SHUT_WR), 0);
    show("Unix, half shut", ends[0]);
    SAME(close(ends[1]), 0);
    show("Unix, peer gone", ends[0]);
    SAME(close(ends[0]), 0);
    tcp_pair(ends);
    show("TCP", ends[0]);
    SAME(shutdown(ends[1], SHUT_WR), 0);
    struct pollfd one = {ends[0], POLLRDHUP, 0};
    SAME(poll(&one, 1, -1), 1);
    show("TCP, half shut", ends[0]);
    SAME(close(ends[0]), 0);
    SAME(close(ends[1]), 0);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    show("TCP, never connected", fd);
    SAME(close(fd), 0);
    fd = socket(AF_INET, SOCK_DGRAM, 0);
    show("UDP", fd);
    SAME(close(fd), 0);
    fd = open("/dev/null", O_RDWR);
    show("/dev/null", fd);
    SAME(close(fd), 0);
    fd = open("/proc/self/exe", O_RDONLY);
    show("regular file", fd);
    SAME(close(fd), 0);
}

static void several(void) {
    int ends[20][2];
    struct pollfd fds[24];
    for (int i = 0; i < 20; i++) {
        SAME(pipe(ends[i]), 0);
        fds[i].fd = ends[i][0];
        fds[i].events = POLLIN;
    }
    fds[20] = (struct pollfd){-1, POLLIN, 77};
    fds[21] = (struct pollfd){-100, POLLIN, 77};
    pthread_t thread = start(write_soon, (void*)(intptr_t)ends[13][1]);
    SAME(poll(fds, 22, -1), 1);
    for (int i = 0; i < 22; i++) SAME(fds[i].revents, i == 13 ? POLLIN : 0);
    join(thread);
    SAME(write(ends[4][1], "x", 1), 1);
    SAME(close(ends[7][1]), 0);
    fds[22] = (struct pollfd){900, POLLIN, 0};
    fds[23] = (struct pollfd){ends[2][1], POLLOUT, 0};
    SAME(poll(fds, 24, -1), 5);
    for (int i = 0; i < 24; i++)
        if (fds[i].revents) say("descriptor %d: %s", i, events(fds[i].revents));
    for (int i = 0; i < 20; i++) SAME(close(ends[i][0]), 0);
    for (int i = 0; i < 20; i++)
        if (i != 7) SAME(close(ends[i][1]), 0);
}

int main(void) {
    start_ticking();
    timeouts();
    kinds();
    several();

    int listener = tcp_listen(3);
    struct pollfd incoming = {listener, POLLIN, 0};
    SAME(poll(&incoming, 1, 0), 0);
    pthread_t thread = start(connect_soon, (void*)(intptr_t)port_of(listener));
    SAME(poll(&incoming, 1, -1), 1);
    SAME(incoming.revents, POLLIN);
    SAME(poll(&incoming, 1, -1), 1); /* still there */
    int fd = accept(listener, NULL, NULL);
    CHECK(fd >= 0);
    SAME(poll(&incoming, 1, 0), 0);
    SAME(close((int)(intptr_t)join(thread)), 0);
    SAME(close(fd), 0);
    say("a listener");

    struct timespec bad = {0, 1000000000}, negative = {-1, 0};
    FAILS(ppoll(&incoming, 1, &bad, NULL), EINVAL);
    FAILS(ppoll(&incoming, 1, &negative, NULL), EINVAL);
    FAILS(poll(&incoming, (nfds_t)hidden(100000000), 10), EINVAL);
    say("EINVAL");
    stop_ticking();
    return 0;
}
