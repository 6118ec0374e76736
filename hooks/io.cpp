// read, write and their vector forms, on whatever a descriptor may be (read(2), write(2),
// readv(2)).
//
// On a socket they are recvmsg and sendmsg with MSG_DONTWAIT, which the kernel treats alike and
// which cost less; on pipes, eventfd and the like preadv2 and pwritev2 with RWF_NOWAIT; a blocking
// write goes on until all is written, as the kernel's own would. Files are left alone.

#include "hooks/signal.h"
#include "hooks/transfer.h"

#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <termios.h>

using namespace green;

namespace {

constexpr int rwf_nowait = 0x8;
constexpr long current_position = -1;

bool may_be_uncached(int fd, size_t size) {
    const FdState* s = fd_state(fd);
    return s != nullptr && s->cached && size > 0 && stats.threads_alive > 1;
}

// A read of a file, of which not all may be cached. A short one is the end of the file or of what
// is cached: asking again tells. `at` as in preadv2(2).
long read_file(int fd, const iovec* v, int count, off64_t at) {
    FdState* s = fd_state(fd);
    Rest rest(v, count);
    size_t size = total_size(v, count), done = 0;
    while (done < size) {
        const iovec* pieces = rest.pieces();
        off64_t from = at == current_position ? at : at + static_cast<off64_t>(done);
        long r = sys::invoke(SYS_preadv2, fd, pieces, rest.count(), from, 0, rwf_nowait);
        if (r == -EOPNOTSUPP) {  // this file system cannot tell
            s->cached = false;
            return sys::invoke(SYS_preadv2, fd, pieces, rest.count(), from, 0, 0);
        }
        if (r == -EAGAIN) {
            ++stats.uncached_reads;
            r = offload(Lasts::briefly, SYS_preadv2, fd, sys::arg(pieces), rest.count(), from, 0,
                        0);
        }
        if (r <= 0) return done == 0 ? r : static_cast<long>(done);
        done += static_cast<size_t>(r);
        rest.advance(static_cast<size_t>(r));
    }
    return static_cast<long>(done);
}

long read_once(int fd, FdKind kind, void* buffer, size_t size) {
    if (kind == FdKind::socket) {
        return receive_once(fd, buffer, size, MSG_DONTWAIT);
    }
    if (kind == FdKind::nowait) {
        iovec v = {buffer, size};
        long r = sys::invoke(SYS_preadv2, fd, &v, 1, current_position, 0, rwf_nowait);
        note_received(fd_state(fd), r, size, 0);
        return r;
    }
    if (may_be_uncached(fd, size)) {
        iovec v = {buffer, size};
        return read_file(fd, &v, 1, current_position);
    }
    return sys::invoke(SYS_read, fd, buffer, size);
}

// A read that waits on a pseudo terminal whose other side is closed fails; to those that come later
// that is the end of it, as to those who have asked poll(2) before.
long waited_in_vain(int fd) {
    struct stat st;
    termios t;
    constexpr unsigned first_slave = 136, last_slave = 143;  // of the kernel's devices.txt
    bool slave = sys::invoke(SYS_fstat, fd, &st) == 0 && S_ISCHR(st.st_mode) &&
                 major(st.st_rdev) >= first_slave && major(st.st_rdev) <= last_slave;
    bool hung_up = slave && sys::invoke(SYS_ioctl, fd, TCGETS, &t) == -EIO;
    return hung_up ? -EIO : 0;
}

// What a read(2) or readv(2) does; `op` as in try_and_wait().
template <class Op>
long read_or_wait(int fd, size_t size, Op op) {
    Transfer transfer;
    long r = try_and_wait(fd, in, size == 0, op, transfer);
    if (r != 0 || !transfer.waited || size == 0) return r;
    return fd_state(fd)->kind == FdKind::poll_first ? waited_in_vain(fd) : 0;
}

long green_read(int fd, void* buffer, size_t size) {
    long signals;
    if (signals_read_and_let_in() != 0 && signals_read(fd, buffer, size, &signals)) return signals;
    Portions how = portions_of(fd);
    if (how != Portions::no) return read_portion(how, SYS_read, fd, buffer, size);
    return read_or_wait(fd, size, [=](FdKind kind) {
        // A read of nothing returns 0 on a socket; a recv of nothing waits.
        return read_once(fd, size == 0 ? FdKind::plain : kind, buffer, size);
    });
}

long write_once(int fd, FdKind kind, const iovec* v, int count, int flags) {
    if (kind == FdKind::socket) {
        msghdr m = {};
        m.msg_iov = const_cast<iovec*>(v);
        m.msg_iovlen = static_cast<size_t>(count);
        return sys::invoke(SYS_sendmsg, fd, &m, MSG_DONTWAIT | flags);
    }
    if (kind == FdKind::nowait) {
        return sys::invoke(SYS_pwritev2, fd, v, count, current_position, 0, rwf_nowait);
    }
    return sys::invoke(SYS_writev, fd, v, count);
}

long green_writev(int fd, const iovec* v, int count) {
    return transfer_all(fd, v, count, [=](FdKind kind, const iovec* rest, int n, int flags) {
        return write_once(fd, kind, rest, n, flags);
    });
}

}  // namespace

namespace green {

Portions portions_asked(int fd, FdState* s) {
    if (fd_learn(fd, s) != 0 || !s->portions || s->nonblocking) return Portions::no;
    if (s->kind == FdKind::socket) return Portions::waits;
    termios t;
    bool raw = sys::invoke(SYS_ioctl, fd, TCGETS, &t) == 0 && (t.c_lflag & ICANON) == 0;
    if (!raw || (t.c_cc[VMIN] == 1 && t.c_cc[VTIME] == 0)) return Portions::no;
    return t.c_cc[VMIN] == 0 && t.c_cc[VTIME] == 0 ? Portions::at_once : Portions::waits;
}

// Job control comes before all else: from a process group in the background the controlling
// terminal cannot be read (SIGTTIN in signal(7)), or says EIO to one that ignores this. A read of
// nothing is treated alike and never waits; but the kernel would make it again after a handler of
// ours.
long ask_in_background(int fd) {
    int group, session;
    bool background = sys::invoke(SYS_ioctl, fd, TIOCGPGRP, &group) == 0 &&
                      group != sys::invoke(SYS_getpgid, 0) &&
                      sys::invoke(SYS_ioctl, fd, TIOCGSID, &session) == 0 &&
                      session == sys::invoke(SYS_getsid, 0);
    if (!background) return -EAGAIN;
    sys::SignalAction action;
    bool caught = sys::signal_action(SIGTTIN, nullptr, &action) == 0 && action.handler != SIG_DFL &&
                  action.handler != SIG_IGN;
    if (caught && (self->blocked & bit(SIGTTIN)) == 0) {
        sys::invoke(SYS_kill, 0, SIGTTIN);
        return (action.flags & SA_RESTART) != 0 ? -EAGAIN : -EINTR;
    }
    OwnMaskInKernel scope;
    long r = sys::invoke(SYS_read, fd, &group, 0);
    return r == 0 ? -EAGAIN : r;
}

}  // namespace green

HOOK(ssize_t, read, (int fd, void* buffer, size_t size), redirected) {
    if (self == nullptr) return result(invoke_point(SYS_read, fd, buffer, size));
    return result(green_read(fd, buffer, size));
}
HOOK_ALIAS(__read, read, redirected)

HOOK(ssize_t, __read_chk, (int fd, void* buffer, size_t size, size_t room), interposed) {
    if (size > room) __builtin_trap();
    return hook_read(fd, buffer, size);
}

HOOK(ssize_t, write, (int fd, const void* buffer, size_t size), redirected) {
    if (self == nullptr) return result(invoke_point(SYS_write, fd, buffer, size));
    return result(
        send_all(fd, buffer, size, 0, [=](FdKind kind, const iovec* rest, int, int flags) {
            if (kind == FdKind::socket) {
                return sys::invoke(SYS_sendto, fd, rest->iov_base, rest->iov_len,
                                   MSG_DONTWAIT | flags, nullptr, 0);
            }
            if (kind == FdKind::plain) {
                return sys::invoke(SYS_write, fd, rest->iov_base, rest->iov_len);
            }
            return write_once(fd, kind, rest, 1, flags);
        }));
}
HOOK_ALIAS(__write, write, redirected)

// Inside libc: psiginfo(3), streams that were opened with "c". No cancellation points.
INTERNAL_HOOK(ssize_t, __read_nocancel, (int fd, void* buffer, size_t size)) {
    if (self == nullptr) return result(sys::invoke(SYS_read, fd, buffer, size));
    NotCancelled scope;
    return hook_read(fd, buffer, size);
}
INTERNAL_HOOK(ssize_t, __write_nocancel, (int fd, const void* buffer, size_t size)) {
    if (self == nullptr) return result(sys::invoke(SYS_write, fd, buffer, size));
    NotCancelled scope;
    return hook_write(fd, buffer, size);
}

HOOK(ssize_t, readv, (int fd, const iovec* v, int count), redirected) {
    if (self == nullptr) return result(invoke_point(SYS_readv, fd, v, count));
    if (count < 0 || count > IOV_MAX) return result(-EINVAL);
    Portions how = portions_of(fd);
    if (how != Portions::no) return result(read_portion(how, SYS_readv, fd, v, count));
    size_t size = total_size(v, count);
    return result(read_or_wait(fd, size, [=](FdKind kind) {
        if (kind == FdKind::plain && may_be_uncached(fd, size)) {
            return read_file(fd, v, count, current_position);
        }
        if (kind == FdKind::socket && size > 0) {
            msghdr m = {};
            m.msg_iov = const_cast<iovec*>(v);
            m.msg_iovlen = static_cast<size_t>(count);
            return sys::invoke(SYS_recvmsg, fd, &m, MSG_DONTWAIT);
        }
        if (kind == FdKind::nowait) {
            return sys::invoke(SYS_preadv2, fd, v, count, current_position, 0, rwf_nowait);
        }
        return sys::invoke(SYS_readv, fd, v, count);
    }));
}

// Reads at a position are for files.
HOOK(ssize_t, preadv, (int fd, const iovec* v, int count, off64_t offset), redirected) {
    auto plainly = [=] { return sys::invoke(SYS_preadv, fd, v, count, offset); };
    if (self == nullptr) return result(plain_point(plainly));
    cancellation_point();
    FdState* s = fd_state(fd);
    bool sound = offset >= 0 && count > 0 && count <= IOV_MAX;
    if (s == nullptr || !sound || fd_learn(fd, s) != 0) return result(plainly());
    bool asks = may_be_uncached(fd, total_size(v, count));
    return result(finish_call(asks ? read_file(fd, v, count, offset) : plainly()));
}
HOOK_ALIAS(preadv64, preadv, redirected)

HOOK(ssize_t, pread64, (int fd, void* buffer, size_t size, off64_t offset), redirected) {
    if (self == nullptr) return result(invoke_point(SYS_pread64, fd, buffer, size, offset));
    iovec v = {buffer, size};
    return hook_preadv(fd, &v, 1, offset);
}
HOOK_ALIAS(pread, pread64, redirected)
HOOK_ALIAS(__pread64, pread64, redirected)

HOOK(ssize_t, __pread64_chk, (int fd, void* buffer, size_t size, off64_t offset, size_t room),
     interposed) {
    if (size > room) __builtin_trap();
    return hook_pread64(fd, buffer, size, offset);
}
HOOK_ALIAS(__pread_chk, __pread64_chk, interposed)

// At the current position these are readv and writev with flags; elsewhere they are for files.
HOOK(ssize_t, preadv2, (int fd, const iovec* v, int count, off64_t offset, int flags), redirected) {
    if (self != nullptr && offset == current_position && flags == 0)
        return hook_readv(fd, v, count);
    if (self == nullptr) return result(invoke_point(SYS_preadv2, fd, v, count, offset, 0, flags));
    cancellation_point();
    return result(sys::invoke(SYS_preadv2, fd, v, count, offset, 0, flags));
}
HOOK_ALIAS(preadv64v2, preadv2, redirected)

HOOK(ssize_t, writev, (int fd, const iovec* v, int count), redirected) {
    if (self == nullptr) return result(invoke_point(SYS_writev, fd, v, count));
    if (count < 0 || count > IOV_MAX) return result(-EINVAL);
    return result(green_writev(fd, v, count));
}

HOOK(ssize_t, pwritev2, (int fd, const iovec* v, int count, off64_t offset, int flags),
     redirected) {
    if (self != nullptr && offset == current_position && flags == 0)
        return hook_writev(fd, v, count);
    if (self == nullptr) return result(invoke_point(SYS_pwritev2, fd, v, count, offset, 0, flags));
    cancellation_point();
    return result(sys::invoke(SYS_pwritev2, fd, v, count, offset, 0, flags));
}
HOOK_ALIAS(pwritev64v2, pwritev2, redirected)

HOOK(ssize_t, pwritev, (int fd, const iovec* v, int count, off64_t offset), redirected) {
    if (self == nullptr) return result(invoke_point(SYS_pwritev, fd, v, count, offset, 0));
    cancellation_point();
    return result(sys::invoke(SYS_pwritev, fd, v, count, offset, 0));
}
HOOK_ALIAS(pwritev64, pwritev, redirected)

HOOK(ssize_t, pwrite64, (int fd, const void* buffer, size_t size, off64_t offset), redirected) {
    if (self == nullptr) return result(invoke_point(SYS_pwrite64, fd, buffer, size, offset));
    cancellation_point();
    return result(sys::invoke(SYS_pwrite64, fd, buffer, size, offset));
}
HOOK_ALIAS(pwrite, pwrite64, redirected)
HOOK_ALIAS(__pwrite64, pwrite64, redirected)
