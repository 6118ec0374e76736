// What moves data without copying it: splice(2), tee(2), vmsplice(2), sendfile(2).
//
// splice(2) and tee(2) obey SPLICE_F_NONBLOCK for pipes only, so a helper makes the call: it waits
// for a pipe without the pipe's lock. Not so with a socket or terminal at the other end: who waits
// for that in the kernel holds the pipe's lock, on which any call about that pipe stops, ours too,
// and perhaps the one that would end the wait. Such a call is made here, and waits for nothing.

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "hooks/transfer.h"

using namespace green;

namespace {

constexpr Manner waits = {Lasts::endlessly, true, true};

struct Splice {
    int from;
    off64_t* from_at;
    int to;
    off64_t* to_at;
    unsigned flags;

    // One attempt. `other`: the end that is no pipe, whose mode it is that counts.
    long attempt(size_t size, int other, FdKind kind) const {
        auto call = [=, this] {
            return sys::invoke(SYS_splice, from, from_at, to, to_at, size,
                               flags | SPLICE_F_NONBLOCK);
        };
        if (kind == FdKind::plain) return call();
        NonblockingForOneCall scope(other);
        return call();
    }
    bool waits_for(int pipe) const {
        return (flags & SPLICE_F_NONBLOCK) == 0 &&
               (sys::invoke(SYS_fcntl, pipe, F_GETFL) & O_NONBLOCK) == 0;
    }
};

mode_t type_of(int fd) {
    struct stat st;
    return sys::invoke(SYS_newfstatat, fd, "", &st, AT_EMPTY_PATH) == 0 ? st.st_mode & S_IFMT : 0;
}
bool waits_with_lock(mode_t type) { return type == S_IFSOCK || type == S_IFCHR || type == 0; }

// Until a pipe has data, or room. 0, or the end of the call.
long wait_for_pipe(int pipe, Direction direction) {
    uint32_t generation = fd_state(pipe)->generation;
    Wake why = wait_fd(pipe, epoll_bits(direction));
    if (why == Wake::interrupted && interruption_ends_call(true)) return -EINTR;
    return fd_state(pipe)->generation == generation ? 0 : -EBADF;
}

// Once: what there is, as far as there is room.
long splice_into_pipe(const Splice& s, size_t size) {
    // Of all sockets only Unix streams heed the flag.
    bool at_once = !s.waits_for(s.to) && is_unix_stream(s.from);
    for (;;) {
        bool full = false;
        long r = try_and_wait(s.from, in, at_once, [&](FdKind kind) -> long {
            long got = s.attempt(size, s.from, kind);
            full = got == -EAGAIN && !ready_now(s.to, EPOLLOUT);
            return full ? 0 : got;
        });
        if (!full) return r;
        if (!s.waits_for(s.to)) return -EAGAIN;
        if (long end = wait_for_pipe(s.to, out)) return end;
    }
}

// All, or what the pipe has.
long splice_from_pipe(const Splice& s, size_t size) {
    Transfer transfer;
    for (size_t done = 0;;) {
        bool empty = false;
        long r = try_and_wait(
            s.to, out, false,
            [&](FdKind kind) -> long {
                if (done > 0 && !ready_now(s.from, EPOLLIN)) return 0;
                long put = s.attempt(size - done, s.to, kind);
                empty = put == -EAGAIN && !ready_now(s.from, EPOLLIN);
                return empty ? 0 : put;
            },
            transfer);
        if (empty && done == 0) {
            if (!s.waits_for(s.from)) return -EAGAIN;
            if (long end = wait_for_pipe(s.from, in)) return end;
            continue;
        }
        if (r < 0) return done == 0 ? r : static_cast<long>(done);
        done += static_cast<size_t>(r);
        transfer.begun = true;
        const FdState* to = fd_state(s.to);
        fd_written(to);
        if (r == 0 || done >= size || ends_at_wait(to, transfer)) return static_cast<long>(done);
    }
}

}  // namespace

HOOK(ssize_t, splice,
     (int from, off64_t* from_at, int to, off64_t* to_at, size_t size, unsigned flags), by_helper) {
    if (self != nullptr && fd_state(from) != nullptr && fd_state(to) != nullptr) {
        Splice s = {from, from_at, to, to_at, flags};
        mode_t source = type_of(from), target = type_of(to);
        if (target == S_IFIFO && waits_with_lock(source)) return result(splice_into_pipe(s, size));
        if (source == S_IFIFO && waits_with_lock(target)) return result(splice_from_pipe(s, size));
    }
    return result(offloaded(waits, SYS_splice, from, from_at, to, to_at, size, flags));
}
HOOK(ssize_t, tee, (int from, int to, size_t size, unsigned flags), by_helper) {
    return result(offloaded(waits, SYS_tee, from, to, size, flags));
}
HOOK(ssize_t, vmsplice, (int fd, const iovec* v, size_t count, unsigned flags), by_helper) {
    return result(offloaded(waits, SYS_vmsplice, fd, v, count, flags));
}

// sendfile(2) has no flag for one call: O_NONBLOCK is set on a socket or pipe that it fills. From a
// socket into a pipe it is a splice. It is no cancellation point.
HOOK(ssize_t, sendfile, (int to, int from, off_t* offset, size_t count), redirected) {
    if (self == nullptr) return result(sys::invoke(SYS_sendfile, to, from, offset, count));
    NotCancelled scope;
    bool numbered = fd_state(from) != nullptr && fd_state(to) != nullptr;
    if (offset == nullptr && numbered && waits_with_lock(type_of(from)) && type_of(to) == S_IFIFO)
        return result(splice_into_pipe({from, nullptr, to, nullptr, 0}, count));
    size_t done = 0;
    Transfer transfer;
    for (;;) {
        auto attempt = [=](FdKind kind) -> long {
            if (kind == FdKind::plain) {
                return sys::invoke(SYS_sendfile, to, from, offset, count - done);
            }
            NonblockingForOneCall scope(to);
            return sys::invoke(SYS_sendfile, to, from, offset, count - done);
        };
        long r = try_and_wait(to, out, false, attempt, transfer);
        if (r < 0) return done == 0 ? result(r) : static_cast<ssize_t>(done);
        done += static_cast<size_t>(r);
        transfer.begun = true;
        FdState* s = fd_state(to);
        // Into a pipe it moves what there is room for.
        bool more = s != nullptr && !ends_at_wait(s, transfer) && s->kind != FdKind::nowait;
        if (r == 0 || done >= count || !more) {
            return static_cast<ssize_t>(done);
        }
    }
}
HOOK_ALIAS(sendfile64, sendfile, redirected)
