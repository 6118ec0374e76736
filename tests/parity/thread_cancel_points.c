/* Every cancellation point that blocks: cancelled once while the thread waits in it, and once with
 * the cancellation already pending when it is entered. Each must end the thread, run its handler
 * and report PTHREAD_CANCELED.
 *
 * PARITY: switches=150 threads=49
 */
#include "thread.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/uio.h>

static int pipe_fds[2], full_pipe[2], pair[2], listener, epoll_fd;
static FILE* stream;
static sem_t ready, go, never;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static pthread_t forever;
static pid_t child;
static struct timespec far;

static void in_read(void) {
    char c;
    (void)!read(pipe_fds[0], &c, 1);
}
static void in_readv(void) {
    char c;
    struct iovec v = {&c, 1};
    (void)!readv(pipe_fds[0], &v, 1);
}
static void in_write(void) {
    char c = 0;
    (void)!write(full_pipe[1], &c, 1);
}
static void in_recv(void) {
    char c;
    recv(pair[0], &c, 1, 0);
}
static void in_recvfrom(void) {
    char c;
    recvfrom(pair[0], &c, 1, 0, NULL, NULL);
}
static void in_recvmsg(void) {
    char c;
    struct iovec v = {&c, 1};
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1};
    recvmsg(pair[0], &m, 0);
}
static void in_accept(void) { accept(listener, NULL, NULL); }
static void in_poll(void) {
    struct pollfd p = {pipe_fds[0], POLLIN, 0};
    poll(&p, 1, -1);
}
static void in_poll_nothing(void) { poll(NULL, 0, 1000000); }
static void in_select(void) {
    fd_set set;
    FD_ZERO(&set);
    FD_SET(pipe_fds[0], &set);
    select(pipe_fds[0] + 1, &set, NULL, NULL, NULL);
}
static void in_epoll_wait(void) {
    struct epoll_event event;
    epoll_wait(epoll_fd, &event, 1, -1);
}
static void in_fgetc(void) { fgetc(stream); }
static void in_sleep(void) { sleep(100000); }
static void in_usleep(void) { usleep(900000000); }
static void in_nanosleep(void) {
    struct timespec t = {100000, 0};
    nanosleep(&t, NULL);
}
static void in_clock_nanosleep(void) {
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &(struct timespec){1L << 40, 0}, NULL);
}
static void in_join(void) { pthread_join(forever, NULL); }
static void in_timedjoin(void) { pthread_timedjoin_np(forever, NULL, &far); }
static void in_cond_wait(void) {
    pthread_mutex_t own = PTHREAD_MUTEX_INITIALIZER;
    pthread_mutex_lock(&own);
    for (;;) pthread_cond_wait(&cond, &own);
}
static void in_cond_timedwait(void) {
    pthread_mutex_t own = PTHREAD_MUTEX_INITIALIZER;
    pthread_mutex_lock(&own);
    for (;;) pthread_cond_timedwait(&cond, &own, &far);
}
static void in_sem_wait(void) { sem_wait(&never); }
static void in_sem_timedwait(void) { sem_timedwait(&never, &far); }
static void in_sem_clockwait(void) { sem_clockwait(&never, CLOCK_MONOTONIC, &far); }
static void in_waitpid(void) { waitpid(child, NULL, 0); }

static const struct {
    const char* name;
    void (*call)(void);
} points[] = {
    {"read", in_read},
    {"readv", in_readv},
    {"write", in_write},
    {"recv", in_recv},
    {"recvfrom", in_recvfrom},
    {"recvmsg", in_recvmsg},
    {"accept", in_accept},
    {"poll", in_poll},
    {"poll of nothing", in_poll_nothing},
    {"select", in_select},
    {"epoll_wait", in_epoll_wait},
    {"fgetc", in_fgetc},
    {"sleep", in_sleep},
    {"usleep", in_usleep},
    {"nanosleep", in_nanosleep},
    {"clock_nanosleep", in_clock_nanosleep},
    {"pthread_join", in_join},
    {"pthread_timedjoin_np", in_timedjoin},
    {"pthread_cond_wait", in_cond_wait},
    {"pthread_cond_timedwait", in_cond_timedwait},
    {"sem_wait", in_sem_wait},
    {"sem_timedwait", in_sem_timedwait},
    {"sem_clockwait", in_sem_clockwait},
    {"waitpid", in_waitpid},
};

struct Case {
    void (*call)(void);
    int pending, handled;
};

static void handler(void* arg) { ((struct Case*)arg)->handled = 1; }

static void* body(void* arg) {
    struct Case* c = arg;
    pthread_cleanup_push(handler, c);
    if (c->pending) {
        pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
        sem_post(&ready);
        while (sem_wait(&go) != 0) {
        }
        pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
    } else {
        sem_post(&ready);
    }
    c->call();
    pthread_cleanup_pop(0);
    return NULL;
}

static const char* run(void (*call)(void), int pending) {
    struct Case c = {call, pending, 0};
    pthread_t thread = spawn(body, &c);
    sem_wait(&ready);
    if (!pending) nap(10); /* it waits in the call by now */
    CHECK(pthread_cancel(thread) == 0);
    if (pending) sem_post(&go);
    void* result = finish(thread);
    return result == PTHREAD_CANCELED && c.handled ? "cancelled" : "NOT cancelled";
}

static void* sleep_on(void* arg) {
    sleep(100000);
    return arg;
}

int main(void) {
    CHECK(pipe(pipe_fds) == 0 && pipe(full_pipe) == 0);
    CHECK(fcntl(full_pipe[1], F_SETFL, O_NONBLOCK) == 0);
    char block[4096] = {0};
    while (write(full_pipe[1], block, sizeof block) > 0) {
    }
    CHECK(fcntl(full_pipe[1], F_SETFL, 0) == 0);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    listener = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(bind(listener, (struct sockaddr*)&address, sizeof address) == 0);
    CHECK(listen(listener, 5) == 0);
    epoll_fd = epoll_create1(0);
    CHECK(epoll_fd >= 0);
    stream = fdopen(dup(pipe_fds[0]), "r");
    CHECK(stream != NULL);
    sem_init(&ready, 0, 0);
    sem_init(&go, 0, 0);
    sem_init(&never, 0, 0);
    far = in_ms(CLOCK_REALTIME, 100000000);
    fflush(stdout);
    child = fork();
    if (child == 0) {
        char c;
        close(pipe_fds[1]);
        close(pair[0]);
        _exit((int)read(pair[1], &c, 1)); /* until the parent shuts its end */
    }
    CHECK(child > 0);
    forever = spawn(sleep_on, NULL);
    for (size_t i = 0; i < sizeof points / sizeof *points; i++)
        printf("%s: %s, pending: %s\n", points[i].name, run(points[i].call, 0),
               run(points[i].call, 1));
    CHECK(pthread_cancel(forever) == 0);
    SHOW_YES(finish(forever) == PTHREAD_CANCELED);
    close(pair[0]);
    SHOW_LONG(child_status(child));
    return 0;
}
