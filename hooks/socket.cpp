// Sockets: making, connecting, accepting, and messages (socket(2) to recvmmsg(2)).
//
// Data moves with MSG_DONTWAIT, one flag of one call. connect(2) and accept(2) have no such flag:
//  - connect: O_NONBLOCK is set for the one call and restored;
//  - accept: on a listener that only this process can have, an event or poll(2) says that there is
//    a connection, and nobody can take it away in between; on one that other processes may share, a
//    timer ends the call, so that a stolen connection cannot stop the process.

#include <linux/sockios.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include "hooks/accept_modes.h"
#include "hooks/transfer.h"
#include "hooks/worker.h"

using namespace green;

namespace {

constexpr int made_flags = SOCK_NONBLOCK | SOCK_CLOEXEC;

void note_socket(long fd, int domain, int type, int protocol) {
    if (fd < 0) return;
    if (self == nullptr) return fd_note_early(static_cast<int>(fd), true);
    FdState* s = fd_created(static_cast<int>(fd), FdKind::socket, (type & SOCK_NONBLOCK) != 0);
    if (s == nullptr) return;
    s->drains = s->tcp = (domain == AF_INET || domain == AF_INET6) &&
                         (type & ~made_flags) == SOCK_STREAM &&
                         (protocol == 0 || protocol == IPPROTO_TCP);
}

// accept(2) on what does not listen fails at once, and must not wait.
bool is_listening(int fd, FdState* s) {
    if (s->listening) return true;
    int value = 0;
    socklen_t size = sizeof value;
    sys::invoke(SYS_getsockopt, fd, SOL_SOCKET, SO_ACCEPTCONN, &value, &size);
    s->listening = value != 0;
    return s->listening;
}

long accept_call(int fd, sockaddr* address, socklen_t* size, int flags,
                 AcceptCall call = accept_plainly) {
    return is_worker() ? worker_accept(fd, address, size, flags, call)
                       : call(fd, address, size, flags);
}

long accept_once(int fd, sockaddr* address, socklen_t* size, int flags) {
    FdState* s = fd_state(fd);
    bool wrong = (flags & ~made_flags) != 0 || !is_listening(fd, s);
    if (wrong) return sys::invoke(SYS_accept4, fd, address, size, flags);
    bool sure = s->announced && !s->duplicated;  // else another number may have been asked
    s->announced = false;
    if (fd_shared(s)) {
        // The moment may be over before the call is made: then the connection is still there, and
        // no event will say so again.
        while (ready_now(fd, EPOLLIN)) {
            long r = accept_call(fd, address, size, flags, accept_for_a_moment);
            if (r != -EINTR) return r;
        }
        return -EAGAIN;
    }
    if (!sure && !ready_now(fd, EPOLLIN)) return -EAGAIN;
    return accept_call(fd, address, size, flags);
}

long green_accept(int fd, sockaddr* address, socklen_t* size, int flags) {
    long r = try_and_wait(fd, in, false, [=](FdKind kind) {
        if (kind == FdKind::plain) {
            // This takes what an event announced, too: a later blocking call must ask again.
            if (FdState* s = fd_state(fd)) s->announced = false;
            return accept_call(fd, address, size, flags);
        }
        return accept_once(fd, address, size, flags);
    });
    if (r < 0) return r;
    // A connection inherits the listener's type and time-outs and lingering, but not O_NONBLOCK
    // (accept(2)).
    FdState* listener = fd_state(fd);
    FdState* s = fd_created(static_cast<int>(r), FdKind::socket, (flags & SOCK_NONBLOCK) != 0);
    if (s != nullptr && listener != nullptr && listener->kind == FdKind::socket) {
        s->drains = s->tcp = listener->tcp;
        s->timeouts_known = listener->timeouts_known;
        s->timeout[in] = listener->timeout[in];
        s->timeout[out] = listener->timeout[out];
        s->lingers = listener->lingers;
        s->portions = listener->portions;
    }
    return r;
}

// What became of a connection attempt that went on in the background. A second connect(2) tells,
// and leaves the socket in the state that a blocking call would; SO_ERROR would only tell.
long finish_connect(int fd, const sockaddr* address, socklen_t size, sys::Deadline deadline) {
    FdState* s = fd_state(fd);
    uint32_t generation = s->generation;
    while (!ready_now(fd, EPOLLOUT)) {
        Wake why = wait_fd(fd, EPOLLOUT, deadline);
        if (s->generation != generation) return -EBADF;
        if (why == Wake::timed_out) return waited(-EINPROGRESS);
        if (why == Wake::interrupted && interruption_ends_call(deadline == sys::never)) {
            return -EINTR;
        }
    }
    s->drained[in] = s->drained[out] = false;
    // TCP's attempt is over now, well or not, and the call cannot wait.
    if (s->tcp) return waited(sys::invoke(SYS_connect, fd, address, size));
    NonblockingForOneCall scope(fd);
    return waited(sys::invoke(SYS_connect, fd, address, size));
}

long green_connect(int fd, const sockaddr* address, socklen_t size) {
    cancellation_point();
    FdState* s = fd_state(fd);
    if (s == nullptr) return sys::invoke(SYS_connect, fd, address, size);
    if (int error = fd_learn(fd, s)) return -error;
    if (s->nonblocking || s->kind != FdKind::socket) {
        s->drained[in] = s->drained[out] = false;
        return sys::invoke(SYS_connect, fd, address, size);
    }
    uint64_t timeout = fd_timeout(fd, s, out);
    sys::Deadline deadline = timeout == 0 ? sys::never : sys::after(timeout);
    for (uint64_t nap = sys::millisecond;;) {
        long r;
        {
            NonblockingForOneCall scope(fd);
            r = sys::invoke(SYS_connect, fd, address, size);
        }
        s->drained[in] = s->drained[out] = false;
        if (r == -EINPROGRESS) return finish_connect(fd, address, size, deadline);
        if (r != -EAGAIN || address->sa_family != AF_UNIX) return r;
        // A Unix listener's queue is full. No event will say when it no longer is (unix(7)).
        Wake why = pause_until(&nap, deadline);
        if (why == Wake::timed_out) return waited(-EAGAIN);
        if (why == Wake::interrupted && interruption_ends_call(timeout == 0)) return -EINTR;
    }
}

bool is_stream(int fd, const FdState* s) {
    return s->tcp || sys::socket_option(fd, SO_TYPE) == SOCK_STREAM;
}

// The error queue and urgent data are never waited for, whatever the mode (recv(2), ip(7)).
constexpr int never_waits = MSG_DONTWAIT | MSG_ERRQUEUE | MSG_OOB;

// With one of these MSG_WAITALL is content with what comes first; but for a peek at a TCP stream.
constexpr int one_attempt = MSG_PEEK | MSG_DONTWAIT | MSG_OOB;

// One message, or what there is of a stream.
inline long green_recv_once(int fd, void* buffer, size_t size, int flags, sockaddr* from,
                            socklen_t* from_size, Transfer& transfer) {
    auto attempt = [=](FdKind kind) {
        int how = kind == FdKind::socket ? flags | MSG_DONTWAIT : flags;
        long got = sys::invoke(SYS_recvfrom, fd, buffer, size, how, from, from_size);
        note_received(fd_state(fd), got, size, how);
        return got;
    };
    return try_and_wait(fd, in, (flags & never_waits) != 0, attempt, transfer);
}

// Urgent data is next: a call that has something already ends before it (tcp(7)).
bool at_urgent_mark(int fd) {
    int mark = 0;
    return sys::invoke(SYS_ioctl, fd, SIOCATMARK, &mark) == 0 && mark != 0;
}

// Whether a call with MSG_WAITALL that has `done` bytes, `last` of them just now, reads on. Only a
// stream can give less than what was asked for and have more to come.
bool reads_on(int fd, long last, size_t done, size_t wanted, int flags, const Transfer& transfer,
              bool marked = false) {
    const FdState* s = fd_state(fd);
    bool more =
        s != nullptr && !ends_at_wait(s, transfer) && is_stream(fd, s) && (s->tcp || !marked);
    return more && last != 0 && done < wanted && (flags & one_attempt) == 0 && !at_urgent_mark(fd);
}

// The same for a peek at a TCP stream, which leaves the data where it is and begins anew: waits for
// more, and is false when no more is to be waited for.
bool peeks_on(int fd, long got, size_t wanted, int flags, Transfer& transfer) {
    FdState* s = fd_state(fd);
    bool more = (flags & one_attempt) == MSG_PEEK && got > 0 && static_cast<size_t>(got) < wanted;
    if (!more || s == nullptr || !s->tcp || ends_at_wait(s, transfer)) return false;
    if (ready_now(fd, EPOLLRDHUP | EPOLLPRI)) return false;
    if (transfer.deadline == 0) {
        uint64_t timeout = fd_timeout(fd, s, in);
        transfer.deadline = timeout == 0 ? sys::never : sys::after(timeout);
    }
    transfer.waited = true;
    uint32_t generation = s->generation;
    Wake why = wait_fd(fd, EPOLLIN, transfer.deadline);
    if (why == Wake::timed_out || s->generation != generation) return false;
    return why != Wake::interrupted || !interruption_ends_call(false);
}

// With MSG_WAITALL: until a stream has given all.
__attribute__((noinline)) long green_recv_all(int fd, void* buffer, size_t size, int flags,
                                              sockaddr* from, socklen_t* from_size,
                                              Transfer& transfer) {
    size_t done = 0;
    for (;;) {
        char* at = static_cast<char*>(buffer) + done;
        size_t wanted = size - done;
        long r = green_recv_once(fd, at, wanted, flags, from, from_size, transfer);
        if (peeks_on(fd, r, wanted, flags, transfer)) continue;
        if (r < 0) return done == 0 ? r : static_cast<long>(done);
        done += static_cast<size_t>(r);
        transfer.begun = true;
        if (!reads_on(fd, r, done, size, flags, transfer)) return static_cast<long>(done);
    }
}

inline long green_send(int fd, const void* buffer, size_t size, int flags, const sockaddr* to,
                       socklen_t to_size) {
    if ((flags & MSG_DONTWAIT) != 0) {
        return try_and_wait(fd, out, true, [=](FdKind) {
            return sys::invoke(SYS_sendto, fd, buffer, size, flags, to, to_size);
        });
    }
    auto attempt = [=](FdKind kind, const iovec* rest, int, int extra) {
        int how = flags | extra | (kind == FdKind::socket ? MSG_DONTWAIT : 0);
        return sys::invoke(SYS_sendto, fd, rest->iov_base, rest->iov_len, how, to, to_size);
    };
    if (to == nullptr) return send_all(fd, buffer, size, flags, attempt);
    iovec v = {const_cast<void*>(buffer), size};
    return transfer_all(fd, &v, 1, attempt);
}

// Descriptors in a message will be another process's too: what they share can change behind us.
void note_passed_descriptors(const msghdr* m) {
    if (m == nullptr || m->msg_control == nullptr) return;
    for (cmsghdr* c = CMSG_FIRSTHDR(m); c != nullptr; c = CMSG_NXTHDR(const_cast<msghdr*>(m), c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
        auto* fds = reinterpret_cast<int*>(CMSG_DATA(c));
        for (size_t i = 0; i < (c->cmsg_len - CMSG_LEN(0)) / sizeof(int); ++i) {
            FdState* s = fd_state(fds[i]);
            if (s == nullptr) continue;
            s->ours = false;
            s->duplicated = true;
            s->settled = 0;
        }
    }
}

// The same while the library is dormant: it is not looked at what they are.
void note_early_passing(const msghdr& m) {
    if (m.msg_controllen != 0) fd_forked();
}

// The numbers that arrive in a message are new ones.
void note_received_descriptors(const msghdr* m) {
    if (m == nullptr || m->msg_control == nullptr || m->msg_controllen == 0) return;
    for (cmsghdr* c = CMSG_FIRSTHDR(m); c != nullptr; c = CMSG_NXTHDR(const_cast<msghdr*>(m), c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
        auto* fds = reinterpret_cast<int*>(CMSG_DATA(c));
        for (size_t i = 0; i < (c->cmsg_len - CMSG_LEN(0)) / sizeof(int); ++i) {
            fd_forget(fds[i]);
            fd_note_early(fds[i], false);
        }
    }
}

long green_sendmsg(int fd, const msghdr* m, int flags) {
    note_passed_descriptors(m);
    bool at_once = (flags & MSG_DONTWAIT) != 0 || m == nullptr || m->msg_iov == nullptr ||
                   m->msg_iovlen == 0 || m->msg_iovlen > IOV_MAX;
    if (at_once) {
        return try_and_wait(fd, out, (flags & MSG_DONTWAIT) != 0, [=](FdKind kind) {
            int how = flags | (kind == FdKind::socket ? MSG_DONTWAIT : 0);
            return sys::invoke(SYS_sendmsg, fd, m, how);
        });
    }
    msghdr part = *m;  // ancillary data goes with the first part only
    return transfer_all(fd, m->msg_iov, static_cast<int>(m->msg_iovlen),
                        [&](FdKind kind, const iovec* rest, int count, int extra) {
                            part.msg_iov = const_cast<iovec*>(rest);
                            part.msg_iovlen = static_cast<size_t>(count);
                            int how = flags | extra | (kind == FdKind::socket ? MSG_DONTWAIT : 0);
                            long r = sys::invoke(SYS_sendmsg, fd, &part, how);
                            if (r > 0) part.msg_control = nullptr, part.msg_controllen = 0;
                            return r;
                        });
}

// With MSG_WAITALL: until a stream has given all. A Unix stream's ends at descriptors that come
// with it.
long green_recvmsg_all(int fd, msghdr* m, int flags, size_t wanted) {
    const msghdr given = *m;
    msghdr part;
    Rest rest(m->msg_iov, static_cast<int>(m->msg_iovlen));
    Transfer transfer;
    for (size_t done = 0;;) {
        auto attempt = [&](FdKind kind) {
            part = given;
            part.msg_iov = const_cast<iovec*>(rest.pieces());
            part.msg_iovlen = static_cast<size_t>(rest.count());
            int how = flags | (kind == FdKind::socket ? MSG_DONTWAIT : 0);
            long got = sys::invoke(SYS_recvmsg, fd, &part, how);
            note_received(fd_state(fd), got, total_size(part.msg_iov, rest.count()), how);
            return got;
        };
        long r = try_and_wait(fd, in, (flags & never_waits) != 0, attempt, transfer);
        if (peeks_on(fd, r, wanted, flags, transfer)) continue;
        if (r < 0) return done == 0 ? r : static_cast<long>(done);
        m->msg_namelen = part.msg_namelen;
        m->msg_controllen = part.msg_controllen;
        m->msg_flags = part.msg_flags;
        note_received_descriptors(m);
        done += static_cast<size_t>(r);
        bool marked = part.msg_controllen != 0 || (part.msg_flags & MSG_CTRUNC) != 0;
        if (!reads_on(fd, r, done, wanted, flags, transfer, marked)) return static_cast<long>(done);
        transfer.begun = true;
        rest.advance(static_cast<size_t>(r));
    }
}

long green_recvmsg(int fd, msghdr* m, int flags) {
    size_t wanted = m == nullptr || m->msg_iovlen > IOV_MAX
                        ? 0
                        : total_size(m->msg_iov, static_cast<int>(m->msg_iovlen));
    Portions how = (flags & never_waits) != 0 ? Portions::no : portions_of(fd);
    if (how != Portions::no) {
        long r = read_portion(how, SYS_recvmsg, fd, m, flags);
        if (r >= 0) note_received_descriptors(m);
        return r;
    }
    if ((flags & MSG_WAITALL) != 0 && wanted > 0) return green_recvmsg_all(fd, m, flags, wanted);
    // recvmsg(2) writes lengths back even when it fails with EAGAIN, so each attempt needs the
    // program's own values again.
    socklen_t name_size = m == nullptr ? 0 : m->msg_namelen;
    size_t control_size = m == nullptr ? 0 : m->msg_controllen;
    long r = try_and_wait(fd, in, (flags & never_waits) != 0, [=](FdKind kind) {
        int how = flags | (kind == FdKind::socket ? MSG_DONTWAIT : 0);
        if (m != nullptr) m->msg_namelen = name_size, m->msg_controllen = control_size;
        long got = sys::invoke(SYS_recvmsg, fd, m, how);
        note_received(fd_state(fd), got, wanted, how);
        return got;
    });
    if (r >= 0) note_received_descriptors(m);
    return r;
}

// recvmmsg(2): until `count` messages have come, unless MSG_WAITFORONE. Its time-out is looked at
// after each message, as the manual page regrets.
long green_recvmmsg(int fd, mmsghdr* messages, unsigned count, int flags, timespec* timeout) {
    if (timeout != nullptr && !valid(timeout)) return -EINVAL;
    sys::Deadline deadline = deadline_in(timeout);
    unsigned done = 0;
    Transfer transfer;
    while (done < count) {
        auto attempt = [=](FdKind kind) {
            int how = flags | (kind == FdKind::socket ? MSG_DONTWAIT : 0);
            return sys::invoke(SYS_recvmmsg, fd, messages + done, count - done, how, nullptr);
        };
        long r = try_and_wait(fd, in, (flags & never_waits) != 0, attempt, transfer);
        if (r < 0) {
            if (done == 0) return r;
            break;
        }
        for (long i = 0; i < r; ++i) note_received_descriptors(&messages[done + i].msg_hdr);
        done += static_cast<unsigned>(r);
        transfer = {};  // each message is a call of its own
        transfer.begun = true;
        FdState* s = fd_state(fd);
        if ((flags & (MSG_WAITFORONE | MSG_DONTWAIT)) != 0 || s == nullptr || s->nonblocking) break;
        if (deadline != sys::never && sys::now() >= deadline) break;
    }
    if (timeout != nullptr) {
        uint64_t now = sys::now();
        *timeout = sys::to_timespec(deadline > now ? deadline - now : 0);
    }
    return done;
}

// Datagrams go in one call, as far as there is room; of a stream each message has its own end.
long green_sendmmsg(int fd, mmsghdr* messages, unsigned count, int flags) {
    FdState* s = fd_state(fd);
    bool waits = (flags & MSG_DONTWAIT) == 0;
    if (count == 0 || s == nullptr || fd_learn(fd, s) != 0 || s->kind != FdKind::socket)
        return sys::invoke(SYS_sendmmsg, fd, messages, count, flags);
    bool together = !waits || s->nonblocking || !is_stream(fd, s);
    for (unsigned i = 0; together && i < count; ++i) note_passed_descriptors(&messages[i].msg_hdr);
    unsigned done = 0;
    Transfer transfer;
    while (done < count && done < IOV_MAX) {
        auto attempt = [=](FdKind kind) {
            int how = flags | (kind == FdKind::socket ? MSG_DONTWAIT : 0);
            return sys::invoke(SYS_sendmmsg, fd, messages + done, count - done, how);
        };
        long r;
        if (together) {
            r = try_and_wait(fd, out, !waits, attempt, transfer);
            if (r > 0) fd_written(s);
        } else {
            r = green_sendmsg(fd, &messages[done].msg_hdr, flags);
            if (r >= 0) {
                messages[done].msg_len = static_cast<unsigned>(r);
                r = 1;  // message
            }
        }
        if (r < 0) return done == 0 ? r : done;
        done += static_cast<unsigned>(r);
        transfer.begun = true;
        if (!waits || s->nonblocking) break;
    }
    return done;
}

}  // namespace

HOOK(int, socket, (int domain, int type, int protocol), redirected) {
    long fd = sys::invoke(SYS_socket, domain, type, protocol);
    note_socket(fd, domain, type, protocol);
    return static_cast<int>(result(fd));
}
HOOK_ALIAS(__socket, socket, redirected)

HOOK(int, socketpair, (int domain, int type, int protocol, int fds[2]), redirected) {
    long r = sys::invoke(SYS_socketpair, domain, type, protocol, fds);
    if (r == 0) {
        note_socket(fds[0], domain, type, protocol);
        note_socket(fds[1], domain, type, protocol);
        fd_paired(fds[0], fds[1]);
        fd_paired(fds[1], fds[0]);
    }
    return static_cast<int>(result(r));
}

HOOK(int, listen, (int fd, int backlog), redirected) {
    long r = is_worker() ? worker_listen(fd, backlog) : sys::invoke(SYS_listen, fd, backlog);
    if (r == 0) flow_listens(fd);
    return static_cast<int>(result(r));
}

HOOK(int, accept4, (int fd, sockaddr* address, socklen_t* size, int flags), redirected) {
    if (accept_mode != AcceptMode::off) {
        return static_cast<int>(result(accept_in_mode(fd, address, size, flags, green_accept)));
    }
    if (self == nullptr) {
        long r = accept_natively(fd, address, size, flags);
        fd_note_early(static_cast<int>(r), true);
        return static_cast<int>(result(r));
    }
    return static_cast<int>(result(green_accept(fd, address, size, flags)));
}

HOOK(int, accept, (int fd, sockaddr* address, socklen_t* size), redirected) {
    return hook_accept4(fd, address, size, 0);
}

HOOK(int, connect, (int fd, const sockaddr* address, socklen_t size), redirected) {
    if (self == nullptr)
        return static_cast<int>(result(invoke_point(SYS_connect, fd, address, size)));
    return static_cast<int>(result(green_connect(fd, address, size)));
}
HOOK_ALIAS(__connect, connect, redirected)

HOOK(ssize_t, recvfrom,
     (int fd, void* buffer, size_t size, int flags, sockaddr* from, socklen_t* from_size),
     redirected) {
    if (self == nullptr) {
        return result(invoke_point(SYS_recvfrom, fd, buffer, size, flags, from, from_size));
    }
    Portions how = (flags & never_waits) != 0 ? Portions::no : portions_of(fd);
    if (how != Portions::no)
        return result(read_portion(how, SYS_recvfrom, fd, buffer, size, flags, from, from_size));
    Transfer transfer;
    bool all = (flags & MSG_WAITALL) != 0;
    return result(all ? green_recv_all(fd, buffer, size, flags, from, from_size, transfer)
                      : green_recv_once(fd, buffer, size, flags, from, from_size, transfer));
}

HOOK(ssize_t, recv, (int fd, void* buffer, size_t size, int flags), redirected) {
    if (self == nullptr || (flags & MSG_WAITALL) != 0 || portions_of(fd) != Portions::no) {
        return hook_recvfrom(fd, buffer, size, flags, nullptr, nullptr);
    }
    Transfer transfer;
    return result(green_recv_once(fd, buffer, size, flags, nullptr, nullptr, transfer));
}

HOOK(ssize_t, __recv_chk, (int fd, void* buffer, size_t size, size_t room, int flags), interposed) {
    if (size > room) __builtin_trap();
    return hook_recvfrom(fd, buffer, size, flags, nullptr, nullptr);
}

HOOK(ssize_t, __recvfrom_chk,
     (int fd, void* buffer, size_t size, size_t room, int flags, sockaddr* from, socklen_t* length),
     interposed) {
    if (size > room) __builtin_trap();
    return hook_recvfrom(fd, buffer, size, flags, from, length);
}

HOOK(ssize_t, sendto,
     (int fd, const void* buffer, size_t size, int flags, const sockaddr* to, socklen_t to_size),
     redirected) {
    if (self == nullptr) {
        return result(invoke_point(SYS_sendto, fd, buffer, size, flags, to, to_size));
    }
    return result(green_send(fd, buffer, size, flags, to, to_size));
}

HOOK(ssize_t, send, (int fd, const void* buffer, size_t size, int flags), redirected) {
    if (self == nullptr) return hook_sendto(fd, buffer, size, flags, nullptr, 0);
    return result(green_send(fd, buffer, size, flags, nullptr, 0));
}
HOOK_ALIAS(__send, send, redirected)

HOOK(ssize_t, sendmsg, (int fd, const msghdr* m, int flags), redirected) {
    if (self != nullptr) return result(green_sendmsg(fd, m, flags));
    long r = invoke_point(SYS_sendmsg, fd, m, flags);
    if (r >= 0) note_early_passing(*m);
    return result(r);
}

HOOK(ssize_t, recvmsg, (int fd, msghdr* m, int flags), redirected) {
    if (self != nullptr) return result(green_recvmsg(fd, m, flags));
    long r = invoke_point(SYS_recvmsg, fd, m, flags);
    if (r >= 0) note_received_descriptors(m);
    return result(r);
}

HOOK(int, sendmmsg, (int fd, mmsghdr* messages, unsigned count, int flags), redirected) {
    if (self != nullptr)
        return static_cast<int>(result(green_sendmmsg(fd, messages, count, flags)));
    long r = invoke_point(SYS_sendmmsg, fd, messages, count, flags);
    for (long i = 0; i < r; ++i) note_early_passing(messages[i].msg_hdr);
    return static_cast<int>(result(r));
}
HOOK_ALIAS(__sendmmsg, sendmmsg, redirected)

HOOK(int, recvmmsg, (int fd, mmsghdr* messages, unsigned count, int flags, timespec* timeout),
     redirected) {
    if (self == nullptr) {
        long r = invoke_point(SYS_recvmmsg, fd, messages, count, flags, timeout);
        for (long i = 0; i < r; ++i) note_received_descriptors(&messages[i].msg_hdr);
        return static_cast<int>(result(r));
    }
    return static_cast<int>(result(green_recvmmsg(fd, messages, count, flags, timeout)));
}

// Ends waits on this very socket, and on the other end of a pair, for which the kernel may have no
// event.
HOOK(int, shutdown, (int fd, int how), redirected) {
    long r = sys::invoke(SYS_shutdown, fd, how);
    if (self != nullptr && r == 0) {
        fd_wake(fd);
        const FdState* s = fd_state(fd);
        if (s != nullptr && s->reader != 0) fd_wake(s->reader - 1);
    }
    return static_cast<int>(result(r));
}

HOOK(int, setsockopt, (int fd, int level, int option, const void* value, socklen_t size),
     redirected) {
    long r = sys::invoke(SYS_setsockopt, fd, level, option, value, size);
    if (self != nullptr && level == SOL_SOCKET &&
        (option == SO_RCVTIMEO || option == SO_SNDTIMEO)) {
        fd_timeouts_changed(fd);
        bool over = r == 0 && static_cast<const timeval*>(value)->tv_sec < 0;
        if (over) fd_timeout_has_passed(fd, option == SO_RCVTIMEO ? in : out);
    }
    if (self != nullptr && r == 0 && level == SOL_SOCKET && option == SO_LINGER) {
        auto* given = static_cast<const linger*>(value);
        FdState* s = fd_state(fd);
        if (s != nullptr && fd_learn(fd, s) == 0)
            s->lingers = given->l_onoff != 0 && given->l_linger != 0;
    }
    if (self != nullptr && r == 0 && level == SOL_SOCKET && option == SO_RCVLOWAT) {
        FdState* s = fd_state(fd);
        if (s != nullptr && fd_learn(fd, s) == 0) {
            s->portions = *static_cast<const int*>(value) > 1;
            s->drained[in] = false;
        }
    }
    return static_cast<int>(result(r));
}
