/* The other names under which libc exports what waits: __read, __poll, open64, sendfile64 ...; each
 * really waits here for another thread, and fails as its plain name does.
 *
 * PARITY: switches=40 threads=12 kernel_threads=17 */
#include "parity.h"

#include <aio.h>
#include <sys/epoll.h>
#include <sys/sendfile.h>

ssize_t __read(int, void*, size_t);
ssize_t __write(int, const void*, size_t);
int __poll(struct pollfd*, nfds_t, int);
int __select(int, fd_set*, fd_set*, fd_set*, struct timeval*);
ssize_t __send(int, const void*, size_t, int);
int __connect(int, const struct sockaddr*, socklen_t);
int __open(const char*, int, ...);
int __open64(const char*, int, ...);
int __fcntl(int, int, ...);
int __nanosleep(const struct timespec*, struct timespec*);
pid_t __wait(int*);
pid_t __waitpid(pid_t, int*, int);
int __sigsuspend(const sigset_t*);
int __close(int);
/* Old programs ask for these by a version; new ones get the plain names. */
#define OLD(name) __asm__(".symver old" #name ", " #name "@GLIBC_2.2.5")
OLD(__pthread_mutex_lock);
OLD(__pthread_mutex_unlock);
OLD(__pthread_once);
OLD(__pthread_rwlock_rdlock);
OLD(__pthread_rwlock_wrlock);
OLD(__pthread_rwlock_unlock);
__asm__(".symver old_yield, pthread_yield@GLIBC_2.2.5");
int old__pthread_mutex_lock(pthread_mutex_t*);
int old__pthread_mutex_unlock(pthread_mutex_t*);
int old__pthread_once(pthread_once_t*, void (*)(void));
int old__pthread_rwlock_rdlock(pthread_rwlock_t*);
int old__pthread_rwlock_wrlock(pthread_rwlock_t*);
int old__pthread_rwlock_unlock(pthread_rwlock_t*);
int old_yield(void);

static int ends[2];

static void* write_soon(void* argument) {
    wait_ticks(3);
    SAME(__write(ends[1], "data", 4), 4);
    return argument;
}

static void* read_soon(void* argument) {
    static char data[1 << 16];
    wait_ticks(3);
    size_t left = (size_t)(intptr_t)argument;
    while (left > 0) {
        ssize_t n = __read(ends[0], data, left < sizeof data ? left : sizeof data);
        CHECK(n > 0);
        left -= (size_t)n;
    }
    return NULL;
}

static void reading(void) {
    char data[8];
    SAME(pipe(ends), 0);
    pthread_t writer = start(write_soon, NULL);
    SAME(__read(ends[0], data, sizeof data), 4);
    join(writer);
    writer = start(write_soon, NULL);
    struct pollfd p = {.fd = ends[0], .events = POLLIN};
    SAME(__poll(&p, 1, -1), 1);
    SAME(__read(ends[0], data, sizeof data), 4);
    join(writer);
    writer = start(write_soon, NULL);
    fd_set set;
    FD_ZERO(&set);
    FD_SET(ends[0], &set);
    SAME(__select(ends[0] + 1, &set, NULL, NULL, NULL), 1);
    struct iovec v = {data, sizeof data};
    SAME(preadv64v2(ends[0], &v, 1, -1, 0), 4);
    join(writer);
    writer = start(write_soon, NULL);
    SAME(preadv64v2(ends[0], &v, 1, -1, 0), 4);
    join(writer);
    p.fd = ends[0];
    long before = ticks();
    SAME(__poll(&p, 1, 60), 0);
    struct timeval wait = timeval_ms(60);
    FD_SET(ends[0], &set);
    SAME(__select(ends[0] + 1, &set, NULL, NULL, &wait), 0);
    CHECK(ticks() > before);
    say("reading");

    size_t full = fill_up(ends[1]);
    pthread_t reader = start(read_soon, (void*)(intptr_t)full);
    SAME(__write(ends[1], "more", 4), 4);
    join(reader);
    full = fill_up(ends[1]) + 4;
    reader = start(read_soon, (void*)(intptr_t)full);
    v.iov_len = 4;
    SAME(pwritev64v2(ends[1], &v, 1, -1, 0), 4);
    join(reader);
    SAME(__close(ends[0]), 0);
    SAME(__close(ends[1]), 0);
    FAILS(__close(ends[1]), EBADF);
    FAILS(__read(ends[0], data, 1), EBADF);
    FAILS(__write(ends[1], data, 1), EBADF);
    FAILS(preadv64v2(ends[0], &v, 1, -1, 0), EBADF);
    FAILS(pwritev64v2(ends[1], &v, 1, -1, 0), EBADF);
    FAILS(__select(hidden(-1), NULL, NULL, NULL, NULL), EINVAL);
    say("writing, errors");
}

static void sockets(void) {
    unix_pair(ends);
    int size = 4096;
    SAME(setsockopt(ends[1], SOL_SOCKET, SO_SNDBUF, &size, sizeof size), 0);
    char data[100] = "";
    size_t full = fill_up(ends[1]) + sizeof data;
    pthread_t reader = start(read_soon, (void*)(intptr_t)full);
    SAME(__send(ends[1], data, sizeof data, 0), (long)sizeof data);
    join(reader);
    FILE* file = tmpfile();
    CHECK(file != NULL);
    SAME(fwrite(data, 1, sizeof data, file), sizeof data);
    SAME(fflush(file), 0);
    full = fill_up(ends[1]) + sizeof data;
    reader = start(read_soon, (void*)(intptr_t)full);
    off64_t at = 0;
    SAME(sendfile64(ends[1], fileno(file), &at, sizeof data), (long)sizeof data);
    SAME(at, (long)sizeof data);
    join(reader);
    SAME(fclose(file), 0);
    SAME(close(ends[0]), 0);
    signal(SIGPIPE, SIG_IGN);
    FAILS(__send(ends[1], data, 1, 0), EPIPE);
    SAME(close(ends[1]), 0);
    FAILS(__send(ends[1], data, 1, 0), EBADF);
    int listener = tcp_listen(4), fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = loopback(port_of(listener));
    SAME(__connect(fd, (struct sockaddr*)&address, sizeof address), 0);
    FAILS(__connect(fd, (struct sockaddr*)&address, sizeof address), EISCONN);
    SAME(close(listener), 0);
    SAME(close(fd), 0);
    say("sockets");
}

static void on_signal(int number) { (void)number; }

static pthread_t main_thread;
static void* send_signal(void* argument) {
    wait_ticks(3);
    SAME(pthread_kill(main_thread, SIGUSR1), 0);
    return argument;
}

static void epolls(void) {
    struct epoll_event event = {.events = EPOLLIN}, got;
    struct timespec none = {0, 0}, soon = timespec_ms(50), bad = {0, hidden(-1)};
    sigset_t mask;
    sigemptyset(&mask);
    int set = epoll_create1(EPOLL_CLOEXEC);
    SAME(pipe(ends), 0);
    SAME(epoll_ctl(set, EPOLL_CTL_ADD, ends[0], &event), 0);
    SAME(epoll_pwait2(set, &got, 1, &none, NULL), 0);
    long before = ticks();
    SAME(epoll_pwait2(set, &got, 1, &soon, NULL), 0);
    CHECK(ticks() > before);
    pthread_t writer = start(write_soon, NULL);
    SAME(epoll_pwait2(set, &got, 1, NULL, NULL), 1);
    join(writer);
    char data[4];
    SAME(read(ends[0], data, 4), 4);
    pthread_t sender = start(send_signal, NULL);
    FAILS(epoll_pwait2(set, &got, 1, NULL, &mask), EINTR);
    join(sender);
    FAILS(epoll_pwait2(set, &got, hidden(0), NULL, NULL), EINVAL);
    FAILS(epoll_pwait2(set, &got, 1, &bad, NULL), EINVAL);
    FAILS(epoll_pwait2(ends[0], &got, 1, NULL, NULL), EINVAL);
    SAME(close(set), 0);
    FAILS(epoll_pwait2(set, &got, 1, NULL, NULL), EBADF);
    SAME(close(ends[0]), 0);
    SAME(close(ends[1]), 0);
    say("epoll_pwait2");
}

static void asynchronous(void) {
    char data[8];
    struct aiocb64 request;
    memset(&request, 0, sizeof request);
    SAME(pipe(ends), 0);
    request.aio_fildes = ends[0];
    request.aio_lio_opcode = LIO_READ;
    request.aio_buf = data;
    request.aio_nbytes = sizeof data;
    request.aio_sigevent.sigev_notify = SIGEV_NONE;
    struct aiocb64* list[] = {&request};
    for (int i = 0; i < 2; i++) {
        pthread_t writer = start(write_soon, NULL);
        SAME(lio_listio64(i == 0 ? LIO_WAIT : LIO_NOWAIT, list, 1, NULL), 0);
        if (i == 1) SAME(aio_suspend64((const struct aiocb64* const*)list, 1, NULL), 0);
        SAME(aio_return64(&request), 4);
        join(writer);
    }
    SAME(close(ends[0]), 0);
    SAME(close(ends[1]), 0);
    say("aio");
}

static const char* const path = "fifo";

static void* open_soon(void* argument) {
    wait_ticks(3);
    int fd = argument == NULL ? __open(path, O_WRONLY) : creat64(path, 0600);
    CHECK(fd >= 0);
    SAME(close(fd), 0);
    return NULL;
}

static void opening(void) {
    SAME(mkfifo(path, 0600), 0);
    for (int i = 0; i < 6; i++) {
        pthread_t opener = start(open_soon, NULL);
        int fd = i == 0   ? __open(path, O_RDONLY)
                 : i == 1 ? __open64(path, O_RDONLY)
                 : i == 2 ? open64(path, O_RDONLY)
                 : i == 3 ? openat64(AT_FDCWD, path, O_RDONLY)
                 : i == 4 ? open(path, O_RDONLY | O_CLOEXEC)
                          : openat(AT_FDCWD, path, O_RDONLY);
        CHECK(fd >= 0);
        join(opener);
        SAME(close(fd), 0);
    }
    SAME(unlink(path), 0);
    FAILS(__open("none", O_RDONLY), ENOENT);
    FAILS(__open64("none", O_RDONLY), ENOENT);
    FAILS(open64("none", O_RDONLY), ENOENT);
    FAILS(openat64(hidden(-7), "none", O_RDONLY), EBADF);
    FAILS(creat("none/none", 0600), ENOENT);
    FAILS(creat64("none/none", 0600), ENOENT);
    int a = creat("file", 0600), b = creat64("file", 0600);
    CHECK(a >= 0 && b >= 0);
    SAME(__fcntl(a, F_GETFD), 0);
    SAME(fcntl64(b, F_GETFL) & O_ACCMODE, O_WRONLY);
    FAILS(__fcntl(hidden(-1), F_GETFD), EBADF);
    FAILS(fcntl64(hidden(-1), F_GETFD), EBADF);
    SAME(close(a), 0);
    SAME(close(b), 0);
    SAME(unlink("file"), 0);
    say("opening");
}

static pid_t child_that_waits(int* go) {
    int pair[2];
    SAME(pipe(pair), 0);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        char c;
        close(pair[1]);
        _exit(read(pair[0], &c, 1) == 1 ? 7 : 8);
    }
    SAME(close(pair[0]), 0);
    *go = pair[1];
    return child;
}

static void* let_go(void* argument) {
    wait_ticks(3);
    SAME(write(*(int*)argument, "", 1), 1);
    return NULL;
}

static void processes(void) {
    int go, status = 0;
    for (int i = 0; i < 2; i++) {
        pid_t child = child_that_waits(&go);
        pthread_t thread = start(let_go, &go);
        SAME(i == 0 ? __wait(&status) : __waitpid(child, &status, 0), child);
        SAME(WEXITSTATUS(status), 7);
        join(thread);
        SAME(close(go), 0);
    }
    pid_t child = child_that_waits(&go);
    pthread_t thread = start(let_go, &go);
    SAME(wait3(&status, 0, NULL), child);
    SAME(WEXITSTATUS(status), 7);
    join(thread);
    SAME(close(go), 0);
    FAILS(__wait(&status), ECHILD);
    FAILS(__waitpid(-1, &status, 0), ECHILD);
    FAILS(wait3(&status, WNOHANG, NULL), ECHILD);
    say("processes");
}

static void time_and_signals(void) {
    long before = ticks();
    struct timespec pause = timespec_ms(50), bad = {0, hidden(-1)};
    SAME(__nanosleep(&pause, NULL), 0);
    CHECK(ticks() > before);
    FAILS(__nanosleep(&bad, NULL), EINVAL);
    for (int i = 0; i < 10; i++) SAME(old_yield(), 0);
    sigset_t blocked, none;
    sigemptyset(&none);
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGUSR1);
    SAME(pthread_sigmask(SIG_BLOCK, &blocked, NULL), 0);
    pthread_t sender = start(send_signal, NULL);
    FAILS(__sigsuspend(&none), EINTR);
    join(sender);
    say("time and signals");
}

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static long inside, initialised;

static void initialise(void) {
    wait_ticks(3);
    add_to(&initialised, 1);
}

static void* take_all(void* argument) {
    SAME(old__pthread_once(&once, initialise), 0);
    SAME(value_of(&initialised), 1);
    for (int i = 0; i < 3; i++) {
        SAME(old__pthread_mutex_lock(&mutex), 0);
        SAME(add_to(&inside, 1), 1);
        wait_ticks(1);
        add_to(&inside, -1);
        SAME(old__pthread_mutex_unlock(&mutex), 0);
        SAME(old__pthread_rwlock_wrlock(&lock), 0);
        wait_ticks(1);
        SAME(old__pthread_rwlock_unlock(&lock), 0);
        SAME(old__pthread_rwlock_rdlock(&lock), 0);
        wait_ticks(1);
        SAME(old__pthread_rwlock_unlock(&lock), 0);
    }
    return argument;
}

int main(void) {
    start_ticking();
    main_thread = pthread_self();
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    SAME(sigaction(SIGUSR1, &action, NULL), 0);
    reading();
    sockets();
    epolls();
    asynchronous();
    opening();
    processes();
    time_and_signals();
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) threads[i] = start(take_all, NULL);
    for (int i = 0; i < 4; i++) join(threads[i]);
    say("locks");
    stop_ticking();
    return 0;
}
