/* At the limit of descriptors: every call that makes one fails with EMFILE, an accept that waits
 * fails when a connection comes and takes it once there is room, received descriptors are left out,
 * and waits go on: reading, polling, sleeping, waiting for a child, looking up a name in a file.
 *
 * PARITY: switches=50 threads=5 kernel_threads=17 */
#include "parity.h"

#include <mqueue.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>

static int spare[64], spares;

/* Takes every descriptor that is left. */
static void fill(void) {
    struct rlimit limit;
    SAME(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = 48;
    SAME(setrlimit(RLIMIT_NOFILE, &limit), 0);
    while ((spare[spares] = dup(STDOUT_FILENO)) >= 0) spares++;
    SAME(errno, EMFILE);
}

static void give_back(int count) {
    while (count-- > 0) SAME(close(spare[--spares]), 0);
}

static void every_call_fails(void) {
    int pair[2];
    sigset_t set;
    sigemptyset(&set);
    FAILS(open("/dev/null", O_RDONLY), EMFILE);
    FAILS(openat(AT_FDCWD, "/dev/null", O_RDONLY), EMFILE);
    FAILS(creat("file", 0600), EMFILE);
    FAILS(socket(AF_INET, SOCK_STREAM, 0), EMFILE);
    FAILS(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), EMFILE);
    FAILS(pipe(pair), EMFILE);
    FAILS(pipe2(pair, O_CLOEXEC), EMFILE);
    FAILS(dup(0), EMFILE);
    FAILS(fcntl(0, F_DUPFD, 0), EMFILE);
    FAILS(fcntl(0, F_DUPFD, 100), EINVAL);
    FAILS(dup2(0, 100), EBADF);
    FAILS(eventfd(0, 0), EMFILE);
    FAILS(timerfd_create(CLOCK_MONOTONIC, 0), EMFILE);
    FAILS(signalfd(-1, &set, 0), EMFILE);
    FAILS(inotify_init1(0), EMFILE);
    FAILS(epoll_create1(0), EMFILE);
    FAILS(epoll_create(1), EMFILE);
    FAILS((long)(intptr_t)mq_open("/parity-none", O_RDONLY | O_CREAT, 0600, NULL), EMFILE);
    errno = 0;
    CHECK(fopen("/dev/null", "r") == NULL && errno == EMFILE);
    errno = 0;
    CHECK(tmpfile() == NULL && errno == EMFILE);
    errno = 0;
    CHECK(popen("true", "r") == NULL && errno == EMFILE);
    say("every call fails");
}

static void* connect_soon(void* argument) {
    wait_ticks(3);
    struct sockaddr_in address = loopback(((int*)argument)[0]);
    int fd = ((int*)argument)[1];
    SAME(connect(fd, (struct sockaddr*)&address, sizeof address), 0);
    return argument;
}

static int ends[2], passed[2];

static void* write_soon(void* argument) {
    wait_ticks(3);
    SAME(write(ends[1], "data", 4), 4);
    return argument;
}

static void* pass_soon(void* argument) {
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec v = {(void*)"x", 1};
    struct msghdr m;
    memset(&m, 0, sizeof m);
    m.msg_iov = &v;
    m.msg_iovlen = 1;
    m.msg_control = &control;
    m.msg_controllen = sizeof control;
    control.head = (struct cmsghdr){
        .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    int fd = STDOUT_FILENO;
    memcpy(CMSG_DATA(&control.head), &fd, sizeof fd);
    wait_ticks(3);
    SAME(sendmsg(passed[1], &m, 0), 1);
    return argument;
}

int main(void) {
    start_ticking();
    int listener = tcp_listen(4), client = socket(AF_INET, SOCK_STREAM, 0);
    SAME(pipe(ends), 0);
    unix_pair(passed);
    int status = 0, go[2];
    SAME(pipe(go), 0);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        char c;
        close(go[1]);
        _exit(read(go[0], &c, 1) == 1 ? 3 : 4);
    }
    fill();
    every_call_fails();

    int where[2] = {port_of(listener), client};
    pthread_t thread = start(connect_soon, where);
    struct pollfd p = {.fd = listener, .events = POLLIN};
    SAME(poll(&p, 1, -1), 1);
    join(thread);
    FAILS(accept(listener, NULL, NULL), EMFILE);
    FAILS(accept4(listener, NULL, NULL, SOCK_CLOEXEC), EMFILE);
    give_back(1);
    int taken = accept(listener, NULL, NULL);
    CHECK(taken >= 0);
    say("accept fails, and takes the connection later");

    char data[8], room[CMSG_SPACE(sizeof(int))];
    thread = start(write_soon, NULL);
    SAME(read(ends[0], data, sizeof data), 4);
    join(thread);
    thread = start(write_soon, NULL);
    fd_set set;
    FD_ZERO(&set);
    FD_SET(ends[0], &set);
    SAME(select(ends[0] + 1, &set, NULL, NULL, NULL), 1);
    SAME(read(ends[0], data, sizeof data), 4);
    join(thread);
    thread = start(pass_soon, NULL);
    struct iovec v = {data, 1};
    struct msghdr m;
    memset(&m, 0, sizeof m);
    m.msg_iov = &v;
    m.msg_iovlen = 1;
    m.msg_control = room;
    m.msg_controllen = sizeof room;
    SAME(recvmsg(passed[0], &m, 0), 1);
    say("received with %s", (m.msg_flags & MSG_CTRUNC) != 0 ? "the descriptor left out" : "all");
    join(thread);
    sleep_ms(20);
    SAME(write(go[1], "", 1), 1);
    SAME(waitpid(child, &status, 0), child);
    SAME(WEXITSTATUS(status), 3);
    say("waits go on");
    give_back(spares);
    stop_ticking();
    return 0;
}
