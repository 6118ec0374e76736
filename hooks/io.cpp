// read, write and their vector forms, on whatever a descriptor may be (read(2), write(2),
// readv(2)).
//
// On a socket they are recvmsg and sendmsg with MSG_DONTWAIT, which the kernel treats alike and
// which cost less; on pipes, eventfd and the like preadv2 and pwritev2 with RWF_NOWAIT; a blocking
// write goes on until all is written, as the kernel's own would. Files are left alone.

#include "hooks/transfer.h"

using namespace green;

namespace {

constexpr int rwf_nowait = 0x8;
constexpr long current_position = -1;

long read_once(int fd, FdKind kind, void* buffer, size_t size) {
    if (kind == FdKind::socket) {
        return receive_once(fd, buffer, size, MSG_DONTWAIT);
    }
    if (kind == FdKind::nowait) {
        iovec v = {buffer, size};
        return sys::invoke(SYS_preadv2, fd, &v, 1, current_position, 0, rwf_nowait);
    }
    return sys::invoke(SYS_read, fd, buffer, size);
}

long green_read(int fd, void* buffer, size_t size) {
    return try_and_wait(fd, in, size == 0, [=](FdKind kind) {
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

HOOK(ssize_t, read, (int fd, void* buffer, size_t size), redirected) {
    if (self == nullptr) return result(sys::invoke(SYS_read, fd, buffer, size));
    return result(green_read(fd, buffer, size));
}
HOOK_ALIAS(__read, read, redirected)

HOOK(ssize_t, __read_chk, (int fd, void* buffer, size_t size, size_t room), interposed) {
    if (size > room) __builtin_trap();
    return hook_read(fd, buffer, size);
}

HOOK(ssize_t, write, (int fd, const void* buffer, size_t size), redirected) {
    if (self == nullptr) return result(sys::invoke(SYS_write, fd, buffer, size));
    iovec v = {const_cast<void*>(buffer), size};
    return result(transfer_all(fd, &v, 1, [=](FdKind kind, const iovec* rest, int, int flags) {
        if (kind == FdKind::socket) {
            return sys::invoke(SYS_sendto, fd, rest->iov_base, rest->iov_len, MSG_DONTWAIT | flags,
                               nullptr, 0);
        }
        if (kind == FdKind::plain) {
            return sys::invoke(SYS_write, fd, rest->iov_base, rest->iov_len);
        }
        return write_once(fd, kind, rest, 1, flags);
    }));
}
HOOK_ALIAS(__write, write, redirected)

HOOK(ssize_t, readv, (int fd, const iovec* v, int count), redirected) {
    if (self == nullptr) return result(sys::invoke(SYS_readv, fd, v, count));
    if (count < 0 || count > IOV_MAX) return result(-EINVAL);
    size_t size = total_size(v, count);
    return result(try_and_wait(fd, in, size == 0, [=](FdKind kind) {
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

// At the current position these are readv and writev with flags; elsewhere they are for files.
HOOK(ssize_t, preadv2, (int fd, const iovec* v, int count, off64_t offset, int flags), redirected) {
    if (self != nullptr && offset == current_position && flags == 0)
        return hook_readv(fd, v, count);
    return result(sys::invoke(SYS_preadv2, fd, v, count, offset, 0, flags));
}
HOOK_ALIAS(preadv64v2, preadv2, redirected)

HOOK(ssize_t, writev, (int fd, const iovec* v, int count), redirected) {
    if (self == nullptr) return result(sys::invoke(SYS_writev, fd, v, count));
    if (count < 0 || count > IOV_MAX) return result(-EINVAL);
    return result(green_writev(fd, v, count));
}

HOOK(ssize_t, pwritev2, (int fd, const iovec* v, int count, off64_t offset, int flags),
     redirected) {
    if (self != nullptr && offset == current_position && flags == 0)
        return hook_writev(fd, v, count);
    return result(sys::invoke(SYS_pwritev2, fd, v, count, offset, 0, flags));
}
HOOK_ALIAS(pwritev64v2, pwritev2, redirected)
