/* Wrong arguments: each call of the family says the kernel's own errno for closed descriptors, bad
 * addresses, wrong kinds and lengths, at once, with other threads about. (A call that looks at its
 * arguments before the kernel does must neither crash nor wait.)
 *
 * PARITY: switches=5 threads=1 kernel_threads=9 */
#include "parity.h"

#include <sys/epoll.h>
#include <sys/resource.h>

static void closed(int fd) {
    char data[8];
    struct iovec piece = {data, 8};
    struct msghdr message;
    struct mmsghdr several;
    struct sockaddr_in address = loopback(9);
    memset(&message, 0, sizeof message);
    memset(&several, 0, sizeof several);
    FAILS(read(fd, data, 8), EBADF);
    FAILS(write(fd, data, 8), EBADF);
    FAILS(readv(fd, &piece, 1), EBADF);
    FAILS(writev(fd, &piece, 1), EBADF);
    FAILS(pread(fd, data, 8, 0), EBADF);
    FAILS(pwrite(fd, data, 8, 0), EBADF);
    FAILS(recv(fd, data, 8, 0), EBADF);
    FAILS(send(fd, data, 8, 0), EBADF);
    FAILS(recvfrom(fd, data, 8, 0, NULL, NULL), EBADF);
    FAILS(sendto(fd, data, 8, 0, (struct sockaddr*)&address, sizeof address), EBADF);
    FAILS(recvmsg(fd, &message, 0), EBADF);
    FAILS(sendmsg(fd, &message, 0), EBADF);
    FAILS(recvmmsg(fd, &several, 1, 0, NULL), EBADF);
    FAILS(sendmmsg(fd, &several, 1, 0), EBADF);
    FAILS(accept(fd, NULL, NULL), EBADF);
    FAILS(connect(fd, (struct sockaddr*)&address, sizeof address), EBADF);
    FAILS(shutdown(fd, SHUT_RD), EBADF);
    FAILS(listen(fd, 1), EBADF);
    FAILS(fcntl(fd, F_GETFL), EBADF);
    FAILS(ioctl(fd, FIONBIO, data), EBADF);
    FAILS(close(fd), EBADF);
    FAILS(dup(fd), EBADF);
    FAILS(dup2(fd, 70), EBADF);
    FAILS(fsync(fd), EBADF);
}

static void bad_addresses(void) {
    int pair[2];
    void* bad = bad_address();
    char rest[8];
    unix_pair(pair);
    SAME(write(pair[1], "12345678", 8), 8);
    struct iovec piece = {bad, 4};
    struct msghdr message;
    memset(&message, 0, sizeof message);
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    FAILS(read(pair[0], bad, 4), EFAULT);
    FAILS(recv(pair[0], bad, 4, 0), EFAULT);
    FAILS(readv(pair[0], &piece, 1), EFAULT);
    FAILS(recvmsg(pair[0], &message, 0), EFAULT);
    FAILS(write(pair[0], bad, 4), EFAULT);
    FAILS(send(pair[0], bad, 4, 0), EFAULT);
    FAILS(writev(pair[0], &piece, 1), EFAULT);
    FAILS(sendmsg(pair[0], &message, 0), EFAULT);
    FAILS(pipe((int*)bad), EFAULT);
    FAILS(socketpair(AF_UNIX, SOCK_STREAM, 0, (int*)bad), EFAULT);
    FAILS(getsockopt(pair[0], SOL_SOCKET, SO_ERROR, rest, (socklen_t*)bad), EFAULT);
    FAILS(setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, bad, sizeof(struct timeval)), EFAULT);
    CHECK(recv(pair[0], rest, 8, MSG_DONTWAIT) <= 8); /* what a failed read took is gone */
    SAME(close(pair[0]), 0);
    SAME(close(pair[1]), 0);
}

int main(void) {
    start_ticking();
    wait_ticks(5);
    closed(-1);
    closed(77);
    closed(INT_MAX);
    say("closed descriptors");
    bad_addresses();
    say("bad addresses");

    char byte = 0;
    int folder = open("/", O_RDONLY | O_DIRECTORY), file = open("/dev/null", O_RDONLY);
    FAILS(read(folder, &byte, 1), EISDIR);
    FAILS(write(folder, &byte, 1), EBADF);
    FAILS(write(file, &byte, 1), EBADF);
    FAILS(recv(file, &byte, 1, 0), ENOTSOCK);
    FAILS(send(file, &byte, 1, 0), ENOTSOCK);
    FAILS(socket(AF_INET, SOCK_STREAM, IPPROTO_UDP), EPROTONOSUPPORT);
    FAILS(socket(AF_INET, 99, 0), EINVAL);
    FAILS(socket(999, SOCK_STREAM, 0), EAFNOSUPPORT);
    int pair[2];
    FAILS(socketpair(AF_INET, SOCK_STREAM, 0, pair), EOPNOTSUPP);
    FAILS(pipe2(pair, 1 << 30), EINVAL);
    SAME(pipe(pair), 0);
    FAILS(lseek(pair[0], 0, SEEK_SET), ESPIPE);
    FAILS(pread(pair[0], &byte, 1, 0), ESPIPE);
    FAILS(recv(pair[0], &byte, 1, 0), ENOTSOCK);
    FAILS(epoll_create1(1), EINVAL);
    SAME(close(folder), 0);
    SAME(close(file), 0);
    say("wrong kinds");

    struct rlimit few = {0, 0}, before;
    int fds[64], count = 0;
    SAME(getrlimit(RLIMIT_NOFILE, &before), 0);
    few = before;
    few.rlim_cur = 40;
    SAME(setrlimit(RLIMIT_NOFILE, &few), 0);
    while (count < 64 && (fds[count] = dup(0)) >= 0) count++;
    SAME(errno, EMFILE);
    FAILS(socket(AF_INET, SOCK_STREAM, 0), EMFILE);
    FAILS(pipe(pair), EMFILE);
    wait_ticks(5); /* life goes on without a free descriptor */
    SAME(close(fds[--count]), 0);
    FAILS(pipe(pair), EMFILE);
    SAME(close(socket(AF_INET, SOCK_STREAM, 0)), 0);
    while (count > 0) SAME(close(fds[--count]), 0);
    SAME(setrlimit(RLIMIT_NOFILE, &before), 0);
    say("no descriptor left");
    stop_ticking();
    return 0;
}
