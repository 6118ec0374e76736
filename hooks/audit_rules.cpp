// Which system calls could wait: the auditor's table (audit.h), by number and arguments.
//
// "Could" is asked now, not measured: a descriptor that is O_NONBLOCK or ready is no surprise, a
// futex whose word has changed is none, a time-out of zero is none. What cannot be asked without
// taking it (a message, a semaphore) counts unless the call says "don't wait". Reads of regular
// files never count, synchronising them does. A call that could wait and is not in this table is
// not seen: that is the place to add it.
//
// Addresses are read as the kernel would; a bad one is SIGSEGV here.

#include <linux/futex.h>
#include <mqueue.h>
#include <poll.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <termios.h>

#include "hooks/audit.h"
#include "runtime/sys.h"

namespace green {

namespace {

template <class T>
const T& at(long address) {
    return *reinterpret_cast<const T*>(address);
}

// A relative time-out: null is for ever.
bool some_time(long timeout) {
    if (timeout == 0) return true;
    const auto& t = at<timespec>(timeout);
    return t.tv_sec != 0 || t.tv_nsec != 0;
}

// An absolute one.
bool in_future(long clock, long time) {
    timespec now;
    sys::invoke(SYS_clock_gettime, clock, &now);
    return sys::nanoseconds(at<timespec>(time)) > sys::nanoseconds(now);
}

bool blocking(long fd) {
    long flags = sys::invoke(SYS_fcntl, fd, F_GETFL);
    return flags >= 0 && (flags & O_NONBLOCK) == 0;
}

bool not_ready(long fd, short events) {
    pollfd p = {static_cast<int>(fd), events, 0};
    return sys::poll_now(&p, 1) == 0;
}

bool in_waits(long fd) { return blocking(fd) && not_ready(fd, POLLIN); }

// Room for something is room for a page in a pipe, and more in a socket.
bool out_waits(long fd, size_t bytes) {
    if (!blocking(fd)) return false;
    if (not_ready(fd, POLLOUT)) return true;
    constexpr size_t page = 4096;
    struct stat st;
    if (bytes <= page || sys::invoke(SYS_fstat, fd, &st) != 0) return false;
    return S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode);
}

size_t bytes_of(long vector, long count) {
    size_t sum = 0;
    for (long i = 0; i < count; ++i) sum += (&at<iovec>(vector))[i].iov_len;
    return sum;
}

bool receive_waits(long fd, long flags) {
    return (flags & (MSG_DONTWAIT | MSG_ERRQUEUE)) == 0 && in_waits(fd);
}

bool send_waits(long fd, size_t bytes, long flags) {
    return (flags & MSG_DONTWAIT) == 0 && out_waits(fd, bytes);
}

bool message_waits(long fd, const msghdr& m, long flags) {
    long count = static_cast<long>(m.msg_iovlen);
    return send_waits(fd, bytes_of(sys::arg(m.msg_iov), count), flags);
}

// Datagrams are not connected over a network; a full queue of a Unix listener is not foreseen.
bool connect_waits(long fd) {
    int type = 0;
    socklen_t size = sizeof type;
    long r = sys::invoke(SYS_getsockopt, fd, SOL_SOCKET, SO_TYPE, &type, &size);
    return r == 0 && type != SOCK_DGRAM && type != SOCK_RAW && blocking(fd);
}

bool poll_waits(long fds, long count) {
    auto* p = reinterpret_cast<pollfd*>(fds);
    return sys::poll_now(p, static_cast<unsigned long>(count)) == 0;
}

bool select_waits(const long* a) {
    if (a[0] > FD_SETSIZE) return true;
    fd_set copies[3];
    void* sets[3] = {};
    size_t bytes = (static_cast<size_t>(a[0]) + 63) / 64 * 8;
    for (int i = 0; i < 3; ++i) {
        if (a[1 + i] == 0) continue;
        memcpy(&copies[i], reinterpret_cast<void*>(a[1 + i]), bytes);
        sets[i] = &copies[i];
    }
    timeval none = {0, 0};
    return sys::select(static_cast<int>(a[0]), sets[0], sets[1], sets[2], &none) == 0;
}

bool futex_waits(const long* a) {
    constexpr int lock_pi2 = 13;  // linux/futex.h, 5.14
    auto word = at<uint32_t>(a[0]);
    switch (a[1] & FUTEX_CMD_MASK) {
        case FUTEX_WAIT:
            return word == static_cast<uint32_t>(a[2]) && some_time(a[3]);
        case FUTEX_WAIT_BITSET:
        case FUTEX_WAIT_REQUEUE_PI: {
            bool realtime = (a[1] & FUTEX_CLOCK_REALTIME) != 0;
            clockid_t clock = realtime ? CLOCK_REALTIME : CLOCK_MONOTONIC;
            return word == static_cast<uint32_t>(a[2]) && (a[3] == 0 || in_future(clock, a[3]));
        }
        case FUTEX_LOCK_PI:
        case lock_pi2:
            return word != 0;
        default:
            return false;
    }
}

bool sleep_waits(long clock, long flags, long time) {
    return (flags & TIMER_ABSTIME) != 0 ? in_future(clock, time) : some_time(time);
}

bool child_waits(long type, long id, long options) {
    if ((options & WNOHANG) != 0) return false;
    siginfo_t found = {};
    long r =
        sys::invoke(SYS_waitid, type, id, &found, options | WEXITED | WNOHANG | WNOWAIT, nullptr);
    return r == 0 && found.si_pid == 0;
}

bool wait4_waits(long pid, long options) {
    pid = static_cast<int>(pid);
    if (pid == -1) return child_waits(P_ALL, 0, options);
    return pid > 0 ? child_waits(P_PID, pid, options) : child_waits(P_PGID, -pid, options);
}

// Locks are asked for without waiting: to have one twice is to have it once.
bool lock_waits(long fd, long command, long lock) {
    if (command != F_SETLKW && command != F_OFD_SETLKW) return false;
    long r = sys::invoke(SYS_fcntl, fd, command == F_SETLKW ? F_SETLK : F_OFD_SETLK, lock);
    return r == -EAGAIN || r == -EACCES;
}

bool ioctl_waits(long fd, unsigned long request, long argument) {
    bool drains = request == TCSETSW || request == TCSETSF || (request == TCSBRK && argument != 0);
    int left = 0;
    return drains && sys::invoke(SYS_ioctl, fd, TIOCOUTQ, &left) == 0 && left > 0;
}

bool open_waits(long directory, long path, long flags) {
    struct stat st;
    if ((flags & (O_NONBLOCK | O_PATH)) != 0 || (flags & O_ACCMODE) == O_RDWR) return false;
    return sys::invoke(SYS_newfstatat, directory, path, &st, 0) == 0 && S_ISFIFO(st.st_mode);
}

struct Rule {
    long number;
    const char* name;
    bool (*waits)(const long* a);
};

#define WAITS(name, condition) {SYS_##name, #name, [](const long* a) -> bool { return condition; }},
#define ALWAYS_WAITS(name) {SYS_##name, #name, [](const long*) -> bool { return true; }},
const Rule rules[] = {
    // descriptors
    WAITS(read, in_waits(a[0])) WAITS(readv, in_waits(a[0]))
        WAITS(preadv2, (a[5] & RWF_NOWAIT) == 0 && in_waits(a[0])) WAITS(
            recvfrom, receive_waits(a[0], a[3])) WAITS(recvmsg, receive_waits(a[0], a[2]))
            WAITS(recvmmsg, receive_waits(a[0], a[3])) WAITS(accept, in_waits(a[0]))
                WAITS(accept4, in_waits(a[0])) WAITS(connect, connect_waits(a[0])) WAITS(
                    write, out_waits(a[0], static_cast<size_t>(a[2])))
                    WAITS(writev, out_waits(a[0], bytes_of(a[1], a[2]))) WAITS(
                        pwritev2, (a[5] & RWF_NOWAIT) == 0 && out_waits(a[0], bytes_of(a[1], a[2])))
                        WAITS(sendto, send_waits(a[0], static_cast<size_t>(a[2]), a[3]))
                            WAITS(sendmsg, message_waits(a[0], at<msghdr>(a[1]), a[2])) WAITS(
                                sendmmsg, a[2] > 0 && message_waits(a[0], at<msghdr>(a[1]), a[3]))
                                WAITS(sendfile, out_waits(a[0], static_cast<size_t>(a[3]))) WAITS(
                                    splice, (a[5] & SPLICE_F_NONBLOCK) == 0 &&
                                                (in_waits(a[0]) ||
                                                 out_waits(a[2], static_cast<size_t>(a[4]))))
                                    WAITS(tee, (a[3] & SPLICE_F_NONBLOCK) == 0 &&
                                                   (in_waits(a[0]) ||
                                                    out_waits(a[1], static_cast<size_t>(a[2]))))
                                        WAITS(vmsplice, (a[3] & SPLICE_F_NONBLOCK) == 0 &&
                                                            out_waits(a[0], bytes_of(a[1], a[2])))
                                            WAITS(openat, open_waits(a[0], a[1], a[2])) WAITS(
                                                ioctl,
                                                ioctl_waits(a[0], static_cast<unsigned long>(a[1]),
                                                            a[2]))
    // readiness
    WAITS(ppoll, some_time(a[2]) && poll_waits(a[0], a[1]))
        WAITS(pselect6, some_time(a[4]) && select_waits(a))
            WAITS(epoll_pwait, static_cast<int>(a[3]) != 0 && not_ready(a[0], POLLIN))
#if defined(SYS_epoll_pwait2)
                WAITS(epoll_pwait2, some_time(a[3]) && not_ready(a[0], POLLIN))
#endif
#if defined(SYS_poll)  // newer architectures have only their successors
                    WAITS(poll, static_cast<int>(a[2]) != 0 && poll_waits(a[0], a[1]))
                        WAITS(select, some_time(a[4]) && select_waits(a)) WAITS(
                            epoll_wait, static_cast<int>(a[3]) != 0 && not_ready(a[0], POLLIN))
                            WAITS(open, open_waits(AT_FDCWD, a[0], a[1])) ALWAYS_WAITS(pause)
#endif
    // time, signals, threads, processes
    WAITS(nanosleep, some_time(a[0])) WAITS(clock_nanosleep, sleep_waits(a[0], a[1], a[2]))
        ALWAYS_WAITS(rt_sigsuspend) WAITS(rt_sigtimedwait, some_time(a[2])) WAITS(futex,
                                                                                  futex_waits(a))
#if defined(SYS_futex_waitv)
            ALWAYS_WAITS(futex_waitv)
#endif
                WAITS(wait4, wait4_waits(a[0], a[2])) WAITS(waitid, child_waits(a[0], a[1], a[3]))
    // files
    WAITS(flock,
          (a[1] & LOCK_NB) == 0 && sys::invoke(SYS_flock, a[0], a[1] | LOCK_NB) == -EWOULDBLOCK)
        WAITS(fcntl, lock_waits(a[0], a[1], a[2])) ALWAYS_WAITS(fsync) ALWAYS_WAITS(fdatasync)
            ALWAYS_WAITS(sync) ALWAYS_WAITS(syncfs) ALWAYS_WAITS(sync_file_range) WAITS(
                msync, (a[2] & MS_SYNC) != 0) WAITS(io_getevents, a[1] > 0 && some_time(a[4]))
                WAITS(io_pgetevents, a[1] > 0 && some_time(a[4])) WAITS(io_uring_enter, a[2] > 0)
    // queues and semaphores
    WAITS(msgrcv, (a[4] & IPC_NOWAIT) == 0) WAITS(msgsnd, (a[3] & IPC_NOWAIT) == 0)
        WAITS(mq_timedreceive, in_waits(a[0])) WAITS(mq_timedsend, out_waits(a[0], 0))
            ALWAYS_WAITS(semop) WAITS(semtimedop, some_time(a[3]))};
#undef WAITS
#undef ALWAYS_WAITS

}  // namespace

const char* audit_waits(long number, const long* arguments) {
    for (const Rule& rule : rules) {
        if (rule.number == number) return rule.waits(arguments) ? rule.name : nullptr;
    }
    return nullptr;
}

}  // namespace green
