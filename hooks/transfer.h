// Transfers that go on until all is done: what a blocking write(2) or send(2) promises on a stream,
// made of attempts that do not block. Also the one attempt of a recv, with its rule for `drained`.
#pragma once

#include <limits.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "hooks/wait.h"

namespace green {

inline size_t total_size(const iovec* v, int count) {
    size_t size = 0;
    for (int i = 0; i < count; ++i) size += v[i].iov_len;
    return size;
}

// A short read empties a TCP socket's queue, or a pipe: there is nothing more until the next event.
// Not so when the end or urgent data was announced (fd_table.h), nor for reads that leave the data
// where it is.
inline void note_received(FdState* s, long got, size_t wanted, int flags) {
    constexpr int odd = MSG_PEEK | MSG_OOB | MSG_ERRQUEUE | MSG_TRUNC;
    if (got > 0 && static_cast<size_t>(got) < wanted && s->drains && !s->sticky &&
        (flags & odd) == 0) {
        s->drained[in] = true;
    }
}

inline long receive_once(int fd, void* buffer, size_t size, int flags) {
    long r = sys::invoke(SYS_recvfrom, fd, buffer, size, flags, nullptr, nullptr);
    note_received(fd_state(fd), r, size, flags);
    return r;
}

// Reads that wait in the kernel for more than something, or no longer than a time: from a socket
// with SO_RCVLOWAT (socket(7)), from a terminal as VMIN and VTIME say (termios(3)). No attempt that
// does not wait has the effect of one, so a helper makes the call.
enum class Portions : uint8_t { no, at_once, waits };
Portions portions_asked(int fd, FdState* s);
inline Portions portions_of(int fd) {
    FdState* s = fd_state(fd);
    bool maybe = s != nullptr && (s->kind == FdKind::unknown || s->portions);
    return __builtin_expect(maybe, 0) ? portions_asked(fd, s) : Portions::no;
}
template <class... Args>
long read_portion(Portions how, long number, int fd, Args... args) {
    if (how == Portions::waits) {
        bool restarted = fd_timeout(fd, fd_state(fd), in) == 0;
        return offloaded({Lasts::endlessly, true, restarted}, number, fd, args...);
    }
    cancellation_point();
    return finish_call(sys::invoke(number, fd, args...));
}

// A view of what is left of an iovec array after `done` bytes: at most `window` pieces at a time.
class Rest {
  public:
    Rest(const iovec* v, int count) : next_(v), left_(count) {}

    // True if there is anything left. The first time the array itself is used, uncopied.
    void advance(size_t done) {
        while (left_ > 0 && done >= next_->iov_len - offset_) {
            done -= next_->iov_len - offset_;
            ++next_;
            --left_;
            offset_ = 0;
        }
        offset_ += done;
    }
    bool empty() const { return left_ == 0; }
    const iovec* pieces() {
        if (offset_ == 0) return next_;
        for (int i = 0; i < count(); ++i) copy_[i] = next_[i];
        copy_[0].iov_base = static_cast<char*>(copy_[0].iov_base) + offset_;
        copy_[0].iov_len -= offset_;
        return copy_;
    }
    int count() const { return offset_ == 0 || left_ < window ? left_ : window; }

  private:
    static constexpr int window = 8;
    const iovec* next_;
    int left_;
    size_t offset_ = 0;
    iovec copy_[window];
};

// Whether a connection has failed. Asking leaves the error where it is.
inline bool failed_connection(int fd) { return ready_now(fd, 0); }

inline bool is_unix_stream(int fd) {
    return sys::socket_option(fd, SO_DOMAIN) == AF_UNIX &&
           sys::socket_option(fd, SO_TYPE) == SOCK_STREAM;
}

// What a send that waits on a Unix stream is told by, when it can go on no longer: the connection's
// error, which is told once, or that it is broken. The kernel sends SIGPIPE to those only who come
// later.
inline long why_it_broke(int fd) {
    int error = sys::socket_option(fd, SO_ERROR);
    return error > 0 ? -error : -EPIPE;
}

// Writes all of `v`. `op(kind, v, count, flags)` makes one attempt. Returns the bytes transferred
// if any were, else a negated errno. Once a part is out (as `done` bytes may be already), a closed
// peer ends the call silently with that part, as in the kernel; the next call meets the error.
template <class Op>
__attribute__((noinline)) long transfer_all(int fd, const iovec* v, int count, Op&& op,
                                            size_t done = 0) {
    Rest rest(v, count);
    size_t size = total_size(v, count);
    Transfer transfer;
    if (done > 0) {
        rest.advance(done);
        transfer.begun = true;
    }
    for (;;) {
        int flags = done == 0 ? 0 : MSG_NOSIGNAL;
        auto attempt = [&](FdKind kind) -> long {
            if (kind != FdKind::socket || (done == 0 && !transfer.waited)) {
                return op(kind, rest.pieces(), rest.count(), flags);
            }
            const FdState* s = fd_state(fd);
            bool unix_stream = s != nullptr && !s->tcp && is_unix_stream(fd);
            // A connection that fails while a part is out: the next call meets its error, if that
            // is TCP's.
            if (done > 0 && failed_connection(fd)) {
                if (unix_stream) why_it_broke(fd);
                return 0;
            }
            if (unix_stream) flags |= MSG_NOSIGNAL;
            long r = op(kind, rest.pieces(), rest.count(), flags);
            return r == -EPIPE && unix_stream ? why_it_broke(fd) : r;
        };
        long r = try_and_wait(fd, out, false, attempt, transfer);
        if (r < 0) return done == 0 ? r : static_cast<long>(done);
        done += static_cast<size_t>(r);
        FdState* s = fd_state(fd);
        if (s != nullptr) fd_written(s);
        transfer.begun = true;
        if (s != nullptr && !s->tcp) transfer.deadline = 0;  // a Unix socket's is for each piece
        bool one_attempt = s == nullptr || ends_at_wait(s, transfer) || s->kind == FdKind::plain;
        if (done >= size || r == 0 || one_attempt) return static_cast<long>(done);
        rest.advance(static_cast<size_t>(r));
    }
}

// The same for one piece and a socket: send(2), and write(2) on one. The first attempt, which as a
// rule takes all, needs nothing of that.
template <class Op>
inline long send_all(int fd, const void* buffer, size_t size, int flags, Op&& op) {
    cancellation_point();
    FdState* s = fd_state(fd);
    size_t done = 0;
    if (s != nullptr && fd_settled(s) && !s->drained[out]) {
        long r = sys::invoke(SYS_sendto, fd, buffer, size, MSG_DONTWAIT | flags, nullptr, 0);
        if (r == static_cast<long>(size) || (r < 0 && r != -EAGAIN)) return finish_call(r);
        if (r > 0) done = static_cast<size_t>(r);
    }
    iovec v = {const_cast<void*>(buffer), size};
    return transfer_all(fd, &v, 1, op, done);
}

}  // namespace green
