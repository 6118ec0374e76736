// What all blocking hooks share: the loop "try, wait, try again", deadlines, and what an
// interrupted wait means.
#pragma once

#include <linux/futex.h>
#include <poll.h>
#include <sys/single_threaded.h>
#include <sys/stat.h>

#include <utility>

#include "hooks/hook.h"
#include "hooks/preempt.h"
#include "hooks/signal.h"
#include "runtime/offload.h"

namespace green {

// Acts on a pending cancellation of the caller (pthreads(7), "Cancellation points"): may unwind.
void cancel_if_pending();

// The same where there is no such point: acts on an asynchronous one only.
void cancel_if_asynchronous();

// A wait came back with Wake::interrupted: runs the signal handlers that are due, acts on a
// cancellation. True if the call must now fail with EINTR; `restartable` as in signal(7).
bool interruption_ends_call(bool restartable);

// The same for a call that is no cancellation point, and goes on.
void handle_interruption();

// Where signal handlers may run, and a thread that has used up its slice gives way: at the entry of
// hooks. True if a handler ran that ends a call which waits; `restartable` as in signal(7).
inline bool safe_point(bool restartable = false) {
    if (__builtin_expect(preempt_due, 0)) preempt_now();
    bool due = signals_arrived || self->interrupt_next_park;
    return __builtin_expect(due, 0) && run_due_signals(restartable);
}

// At the entry of every cancellation point. A request that comes while others run at the safe point
// is seen: its interruption of the next wait is not, where handlers were looked for.
inline bool cancellation_point(bool restartable = false) {
    bool ends = safe_point(restartable);
    if (__builtin_expect(self->cancel_pending, 0)) cancel_if_pending();
    return ends;
}

// A kernel thread that is not ours can be cancelled at once from here on, as in libc's own wrappers
// of cancellation points. The old type is told, for the way back: pthread_setcanceltype(3).
int cancel_at_once();
void cancel_as_before(int type);

// A cancellation point's plain system call. Where libc has made kernel threads (the library is off,
// or steps aside), pthread_cancel(3) must end it although the kernel knows of no cancellation.
template <class Call>
inline long plain_point(Call call) {
    if (__builtin_expect(__libc_single_threaded, 1)) return call();
    int before = cancel_at_once();
    long r = call();
    cancel_as_before(before);
    return r;
}
template <class... Args>
inline long invoke_point(long number, Args... args) {
    return plain_point([=] { return sys::invoke(number, args...); });
}

// For the pthread and semaphore calls, where a time before 1970 is only one that has passed.
inline bool bad_nanoseconds(const timespec* t) {
    return t->tv_nsec < 0 || t->tv_nsec >= static_cast<long>(sys::second);
}
inline bool bad_clock(clockid_t clock) {
    return clock != CLOCK_REALTIME && clock != CLOCK_MONOTONIC;
}

// A call in it is no cancellation point, but in a handler that runs meanwhile. An asynchronous
// cancellation needs none.
class NotCancelled {
  public:
    NotCancelled() : me_(self) {
        if (me_ != nullptr) before_ = std::exchange(me_->uncancelled, true);
    }
    ~NotCancelled() {
        if (me_ != nullptr) me_->uncancelled = before_;
    }
    NotCancelled(const NotCancelled&) = delete;
    NotCancelled& operator=(const NotCancelled&) = delete;

  private:
    Thread* me_;
    bool before_ = false;
};

// A clock of CPU time, of a process or a thread: clock_getcpuclockid(3) makes negative ones, whose
// lower bits tell them from those of a descriptor.
inline bool cpu_clock(clockid_t clock) {
    constexpr int of_descriptor = 3;
    return clock == CLOCK_PROCESS_CPUTIME_ID || clock == CLOCK_THREAD_CPUTIME_ID ||
           (clock < 0 && (clock & 7) != of_descriptor);
}

// A deadline from a timespec. `never` for null. Errors are the caller's to check first.
inline bool valid(const timespec* t) { return !bad_nanoseconds(t) && t->tv_sec >= 0; }
inline sys::Deadline deadline_in(const timespec* relative) {
    if (relative == nullptr) return sys::never;
    constexpr time_t centuries = time_t{1} << 33;
    return relative->tv_sec >= centuries ? sys::never : sys::after(sys::nanoseconds(*relative));
}

// The clocks that an absolute time of the program's is about: those that lie behind this library
// where another one changes them (faketime(1)); one before it hands us times of the true ones.
extern bool clocks_are_changed;
uint64_t changed_clock_now(clockid_t clock);
void clocks_activate();

// An absolute time of `clock`, as a deadline of CLOCK_MONOTONIC. The past is 0.
inline sys::Deadline deadline_at(clockid_t clock, const timespec* absolute) {
    if (absolute == nullptr) return sys::never;
    if (absolute->tv_sec < 0) return 0;
    constexpr time_t centuries = time_t{1} << 33;
    if (absolute->tv_sec >= centuries) return sys::never;
    uint64_t then = sys::nanoseconds(*absolute);
    bool changed = clocks_are_changed;
    if (clock == CLOCK_MONOTONIC && !changed) return then;
    uint64_t now = changed ? changed_clock_now(clock) : sys::clock_now(clock);
    return then > now ? sys::after(then - now) : 0;
}

// Asks the kernel whether a descriptor is ready, without waiting.
inline bool ready_now(int fd, short events) {
    pollfd p = {fd, events, 0};
    return sys::poll_now(&p, 1) != 0;
}

constexpr uint32_t epoll_bits(Direction d) { return d == in ? EPOLLIN : EPOLLOUT; }

// A datagram socket that was shut down says EAGAIN to MSG_DONTWAIT, and 0 to a plain receive.
inline bool shut_down(int fd, const FdState* s) { return s->sticky && ready_now(fd, EPOLLRDHUP); }

// eventfd and the like, which take a 0 and refuse wrong sizes even while there is no room.
inline bool is_anonymous(int fd) {
    struct stat st;
    return sys::invoke(SYS_fstat, fd, &st) == 0 && (st.st_mode & S_IFMT) == 0;
}

// Sets O_NONBLOCK on a description for the length of one call. Where the program left it blocking
// it is so afterwards, even if it seemed not to be before: that was another process doing the same.
class NonblockingForOneCall {
  public:
    explicit NonblockingForOneCall(int fd) : fd_(fd), flags_(sys::invoke(SYS_fcntl, fd, F_GETFL)) {
        if (flags_ < 0) return;
        if (!fd_state(fd)->nonblocking) flags_ &= ~O_NONBLOCK;
        sys::invoke(SYS_fcntl, fd_, F_SETFL, flags_ | O_NONBLOCK);
    }
    ~NonblockingForOneCall() {
        if (flags_ >= 0) sys::invoke(SYS_fcntl, fd_, F_SETFL, flags_);
    }
    NonblockingForOneCall(const NonblockingForOneCall&) = delete;
    NonblockingForOneCall& operator=(const NonblockingForOneCall&) = delete;

  private:
    int fd_;
    long flags_;
};

// What a read of a terminal with nothing to read says to a process in the background: hooks/io.cpp.
long ask_in_background(int fd);

// One attempt that does not block, by what the descriptor is. `op(kind)` makes the system call:
// with MSG_DONTWAIT for a socket, with RWF_NOWAIT for FdKind::nowait, plainly for FdKind::plain.
template <class Op>
long attempt(int fd, FdState* s, Direction direction, Op& op) {
    switch (s->kind) {
        case FdKind::socket: {
            long r = op(FdKind::socket);
            if (r != -EAGAIN || direction != in || !shut_down(fd, s)) return r;
            return op(FdKind::plain);
        }
        case FdKind::nowait: {
            long r = op(FdKind::nowait);
            if (r != -EOPNOTSUPP) return r;
            s->kind = FdKind::poll_first;
            [[fallthrough]];
        }
        case FdKind::poll_first:
            // A FIFO that nobody writes to is at its end, and poll(2) does not say so until
            // somebody has. Of room there is perhaps not enough for all, or, in a terminal, more
            // than poll(2) thinks worth a word.
            if (!ready_now(fd, static_cast<short>(epoll_bits(direction))) &&
                !(direction == in ? s->drains : s->portions || is_anonymous(fd))) {
                return direction == in && s->portions ? ask_in_background(fd) : -EAGAIN;
            }
            if (direction == out || s->drains) {
                NonblockingForOneCall scope(fd);
                return op(FdKind::plain);
            }
            return op(FdKind::plain);
        default:
            return op(FdKind::plain);
    }
}

// O_NONBLOCK as it is now: another process that holds the description may have changed it. Asked
// only before a wait.
inline bool is_nonblocking(int fd, FdState* s) {
    fd_doubt_mode(s);
    return fd_learn(fd, s) == 0 && s->nonblocking;
}

// Sleeps for a while that doubles, up to 16 ms, with each call: for what no event announces, such
// as room in the queue of a Unix socket's peer (unix(7)). timed_out only if the deadline has
// passed. Where an event may come all the same, `wait(until)` is for that.
template <class Wait>
Wake pause_until(uint64_t* nap, sys::Deadline deadline, Wait wait) {
    uint64_t slice = *nap;
    if (*nap < 16 * sys::millisecond) *nap *= 2;
    return wait_a_slice(slice, deadline, wait);
}
inline Wake pause_until(uint64_t* nap, sys::Deadline deadline) {
    return pause_until(nap, deadline, [](sys::Deadline until) { return park(Park::fd, until); });
}

// Waits for room in a socket that may be a Unix one: no event tells that the peer was shut down for
// reading.
inline Wake wait_for_room(int fd, sys::Deadline deadline) {
    constexpr uint64_t step = 100 * sys::millisecond;
    return wait_a_slice(step, deadline,
                        [=](sys::Deadline until) { return wait_fd(fd, EPOLLOUT, until); });
}

// Waits on an object's address. One that processes share may change without a wake-up that reaches
// us: its waiters look again every few milliseconds.
inline Wake wait_object(const void* object, bool shared, sys::Deadline deadline, uint32_t tag = 0,
                        bool first = false) {
    if (!shared) return wait_address(object, deadline, tag, first);
    constexpr uint64_t step = 2 * sys::millisecond;
    return wait_a_slice(step, deadline, [=](sys::Deadline until) {
        return wait_address(object, until, tag, first);
    });
}

// How a call that goes to a helper (runtime/offload.h) behaves.
struct Manner {
    Lasts lasts;
    bool cancels;    // it is a cancellation point
    bool restarted;  // after a signal handler with SA_RESTART (signal(7))
};

// A system call on a helper, if there are green threads. One that a signal handler's run cuts short
// is made again where the kernel would; a signal that is due already runs within it.
template <class... Args>
long offloaded(Manner manner, long number, Args... args) {
    if (self == nullptr) {
        return manner.cancels ? invoke_point(number, args...) : sys::invoke(number, args...);
    }
    if (manner.cancels) cancel_if_pending();
    for (;;) {
        long r = offload(manner.lasts, number, sys::arg(args)...);
        // Cut short when a part was done: that goes with the thread that is cancelled.
        bool partly = manner.cancels && r != -EINTR && self->interrupt_next_park;
        bool ends = run_due_signals(manner.restarted);
        if (partly && manner.lasts == Lasts::endlessly) cancel_if_pending();
        if (r != -EINTR || manner.lasts == Lasts::briefly) return r;
        if (manner.cancels) {
            cancel_if_pending();
        } else {
            cancel_if_asynchronous();
        }
        if (ends) return r;
    }
}

// A kernel thread that is not ours is about to wait for an object, as `self` and this tell.
inline void note_outsider() {
    if (scheduler_active) outsiders_wait = true;
}

// Wakes waiters of an object after libc's own function has changed it: from a green thread, or from
// a kernel thread that is not ours (parking_lot.h).
inline void wake_waiters(const void* object, unsigned count) {
    if (self != nullptr) {
        if (address_waiters != 0) wake_address(object, count);
    } else if (scheduler_active) {
        wake_from_outside(object);
    }
}

// Waits once for a word that is a futex of glibc's to be no longer `value`, and wakes who waits for
// one: kernel threads that are not ours among them.
constexpr int futex_scope(bool shared) { return shared ? 0 : FUTEX_PRIVATE_FLAG; }
inline Wake wait_word(const void* word, int value, bool shared) {
    if (self != nullptr) return wait_object(word, shared, sys::never);
    note_outsider();
    sys::invoke(SYS_futex, word, FUTEX_WAIT | futex_scope(shared), value, nullptr);
    return Wake::ready;
}
inline void wake_word(const void* word, int count, bool shared) {
    wake_waiters(word, static_cast<unsigned>(count));
    if (self == nullptr || outsiders_wait || shared) {
        sys::invoke(SYS_futex, word, FUTEX_WAKE | futex_scope(shared), count);
    }
}

// The end of a wait. A signal that arrived before whatever ended it is handled before the program
// goes on, as the kernel would on its way back: a child's SIGCHLD comes before what wait(2) is
// told.
template <class Result>
inline Result waited(Result result) {
    if (self != nullptr) safe_point();
    return result;
}

// The end of a call that did not park. A signal that it brought upon itself (SIGPIPE) is handled
// first.
inline long finish_call(long r) {
    context_check_fs();
    count_unparked_call();
    safe_point();
    return r;
}

// Before an attempt to read. True if others ran, after which nothing is as it was. Not where others
// wait for the same: whoever is before them stays so.
inline bool let_others_go_first(FdState* s, Direction direction) {
    if (direction == out || !fd_probably_empty(s) || run_queue_empty()) return false;
    if (s->waiters != nullptr) return false;
    s->reads = 0;
    yield();
    return true;
}

// What the attempts of one call have in common. Once a part is done, a signal ends the call with
// that part, even under SA_RESTART, if it would have to wait for more; and a time-out from
// SO_RCVTIMEO or SO_SNDTIMEO is one for all. One that has waited goes on doing so though O_NONBLOCK
// is set meanwhile: of what can be waited for, only pipes and poll_first look again.
struct Transfer {
    bool begun = false;
    bool waited = false;
    bool handled = false;        // a signal at its entry, which ends it if it would have to wait
    sys::Deadline deadline = 0;  // not known yet
};

// Whether O_NONBLOCK ends the call where it would wait.
inline bool ends_at_wait(const FdState* s, const Transfer& transfer) {
    return s->nonblocking && !(transfer.waited && s->kind == FdKind::socket);
}

// What try_and_wait() does with a descriptor that is not settled (runtime/fd_table.h). Out of line,
// so that the frames of those that are stay small: each cache line of a stack that a wait has
// touched must come back when it ends.
template <class Op>
__attribute__((noinline)) long try_and_wait_unsettled(int fd, FdState* s, Direction direction,
                                                      bool dont_wait, Op& op, Transfer& transfer) {
    sys::Deadline& deadline = transfer.deadline;
    uint64_t nap = sys::millisecond;
    for (;;) {
        if (int error = fd_learn(fd, s)) return -error;
        fd_settle(s);
        if (s->kind == FdKind::plain || dont_wait) return finish_call(op(s->kind));
        if (ends_at_wait(s, transfer)) {
            if (!fd_shared(s)) return finish_call(op(FdKind::plain));
            // Another process may have cleared the flag: nothing here may rely on it.
            bool asks_poll = s->kind == FdKind::poll_first;
            if (asks_poll && is_nonblocking(fd, s)) return finish_call(op(FdKind::plain));
            long r = attempt(fd, s, direction, op);
            if (r != -EAGAIN || is_nonblocking(fd, s)) return finish_call(r);
        }
        // Only TCP sockets and pipes known to be drained are waited for unasked: the others' calls
        // may have something to say about their arguments first.
        if (!s->drained[direction] || !s->drains) {
            if (let_others_go_first(s, direction)) continue;
            long r = attempt(fd, s, direction, op);
            fd_note_attempt(s, direction, r == -EAGAIN);
            if (r != -EAGAIN) return finish_call(r);
            s->drained[direction] = true;
        }
        if (fd_shared(s) && is_nonblocking(fd, s) && ends_at_wait(s, transfer)) return -EAGAIN;
        if (transfer.handled) return -EINTR;
        transfer.waited = true;
        if (deadline == 0) {
            uint64_t timeout = fd_timeout(fd, s, direction);
            deadline = timeout == 0 ? sys::never : sys::after(timeout);
        }
        uint32_t generation = s->generation;
        // Room that is too little, or that came just now: perhaps before anybody would have told.
        bool room = direction == out && ready_now(fd, EPOLLOUT);
        if (room) s->drained[out] = false;
        Wake why = room ? pause_until(&nap, deadline)
                   : direction == out && s->kind == FdKind::socket && !s->tcp
                       ? wait_for_room(fd, deadline)
                       : wait_fd(fd, epoll_bits(direction), deadline);
        if (why == Wake::timed_out) return waited(-EAGAIN);
        bool restartable = deadline == sys::never && !transfer.begun;
        if (why == Wake::interrupted && interruption_ends_call(restartable)) return -EINTR;
        if (s->generation != generation) return -EBADF;  // closed meanwhile; a stranger's by now
    }
}

// Every blocking call on a descriptor. `dont_wait`: the program asked for one attempt. The kernel's
// convention for the result. A deadline from SO_RCVTIMEO or SO_SNDTIMEO that passes is -EAGAIN. A
// handler that runs at its entry runs within it: natively it would have run before, where the
// program could see what it did, and not have begun to wait.
template <class Op>
inline long try_and_wait(int fd, Direction direction, bool dont_wait, Op&& op, Transfer& transfer) {
    if (transfer.begun) {
        transfer.handled = false;
        cancel_if_pending();
    } else {
        transfer.handled = cancellation_point(true);
    }
    FdState* s = fd_state(fd);
    if (s == nullptr) return op(FdKind::plain);
    while (fd_settled(s) && !dont_wait && !transfer.handled) {
        if (!s->drained[direction]) {
            if (let_others_go_first(s, direction)) continue;
            long r = op(FdKind::socket);
            fd_note_attempt(s, direction, r == -EAGAIN);
            if (r != -EAGAIN) return finish_call(r);
            s->drained[direction] = true;
        }
        if (direction == out) break;  // there may be room, though not for this
        uint32_t generation = s->generation;
        transfer.waited = true;
        Wake why = wait_fd(fd, EPOLLIN);
        if (why == Wake::interrupted && interruption_ends_call(!transfer.begun)) return -EINTR;
        if (s->generation != generation) return -EBADF;
    }
    return try_and_wait_unsettled(fd, s, direction, dont_wait, op, transfer);
}
template <class Op>
inline long try_and_wait(int fd, Direction direction, bool dont_wait, Op&& op) {
    Transfer transfer;
    return try_and_wait(fd, direction, dont_wait, op, transfer);
}

}  // namespace green
