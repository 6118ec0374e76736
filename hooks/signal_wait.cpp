// Waiting for signals: sigwait(3) and its kind, signalfd(2), sigsuspend(2), pause(2).
//
// A signal that somebody waits for is blocked, so it is pending in one of three places: in the
// thread's queue, in the process's (hooks/signal_queue.h), or, where all threads block it, still in
// the kernel, whose descriptor for such signals is what the thread parks on.

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/signalfd.h>

#include "hooks/hooks.h"
#include "hooks/signal.h"
#include "hooks/wait.h"
#include "runtime/loop.h"

using namespace green;

namespace {

// What raise(3) sent is told as kill(2)'s, by glibc too.
void tell_tkill_as_user(siginfo_t* info) {
    if (info != nullptr && info->si_code == SI_TKILL) info->si_code = SI_USER;
}

// The calling thread waits for these signals while it lives.
class Awaiting {
  public:
    explicit Awaiting(Mask wanted) { signals_await(wanted); }
    ~Awaiting() { signals_await(0); }
    Awaiting(const Awaiting&) = delete;
    Awaiting& operator=(const Awaiting&) = delete;
};

// sigtimedwait(2): the signals of `set` are blocked; they are pending in this thread, or in the
// kernel.
long wait_for_signal(const sigset_t* set, siginfo_t* info, sys::Deadline deadline) {
    cancel_if_pending();
    Mask wanted = to_mask(set) & ~never_blocked;
    constexpr timespec now = {0, 0};
    constexpr uint64_t soon = 5 * sys::millisecond;
    Awaiting scope(wanted);
    for (;;) {
        siginfo_t found = {};
        long r = signals_take_awaited(wanted, &found)
                     ? found.si_signo
                     : sys::invoke(SYS_rt_sigtimedwait, &wanted, &found, &now, sys::mask_size);
        if (r > 0 && info != nullptr) *info = found;
        if (r != -EAGAIN || deadline == 0) return waited(r);
        OwnFd fd(sys::invoke(SYS_signalfd4, -1, &wanted, sys::mask_size, O_CLOEXEC));
        Wake why = fd.number() >= 0 ? wait_fd(fd.number(), EPOLLIN, deadline)
                                    : wait_a_slice(soon, deadline, [](sys::Deadline until) {
                                          return park(Park::sleep, until);
                                      });
        if (why == Wake::timed_out) deadline = 0;
        if (why == Wake::interrupted && interruption_ends_call(false)) return -EINTR;
    }
}

// sigsuspend(2) and pause(2): until a handler has run.
long wait_for_handler() {
    cancel_if_pending();
    if (safe_point()) return -EINTR;
    cancel_if_pending();
    for (;;) {
        if (park(Park::sleep) == Wake::interrupted && interruption_ends_call(false)) return -EINTR;
    }
}

// The signals that a descriptor is for, as proc(5) tells them; 0: it is no signalfd.
Mask mask_of_descriptor(int fd) {
    char path[40], text[sys::status_size];
    snprintf(path, sizeof path, "/proc/thread-self/fdinfo/%d", fd);
    const char* mask = sys::status_in(path, "sigmask", text);
    return mask == nullptr ? 0 : strtoull(mask, nullptr, 16);
}

signalfd_siginfo as_read(const siginfo_t& info) {
    signalfd_siginfo r = {};
    r.ssi_signo = static_cast<uint32_t>(info.si_signo);
    r.ssi_errno = info.si_errno;
    r.ssi_code = info.si_code;
    if (info.si_code == SI_TIMER) {
        r.ssi_tid = static_cast<uint32_t>(info.si_timerid);
        r.ssi_overrun = static_cast<uint32_t>(info.si_overrun);
    } else {
        r.ssi_pid = static_cast<uint32_t>(info.si_pid);
        r.ssi_uid = info.si_uid;
    }
    r.ssi_int = info.si_value.sival_int;
    r.ssi_ptr = reinterpret_cast<uintptr_t>(info.si_value.sival_ptr);
    return r;
}

}  // namespace

namespace green {

bool signals_read(int fd, void* buffer, size_t size, long* result) {
    FdState* s = fd_state(fd);
    if (s == nullptr || size < sizeof(signalfd_siginfo)) return false;
    if (fd_learn(fd, s) != 0) return false;
    // One that is older than the first thread, or a duplicate, is not known for what it is.
    bool perhaps = s->kind == FdKind::poll_first || (s->kind == FdKind::nowait && !s->drains);
    if (!perhaps) return false;
    Mask wanted = mask_of_descriptor(fd);
    if (wanted == 0) return false;
    cancellation_point();
    Awaiting scope(wanted);
    for (;;) {
        size_t done = 0;
        siginfo_t info;
        while (size - done >= sizeof(signalfd_siginfo) && signals_take_awaited(wanted, &info)) {
            signalfd_siginfo one = as_read(info);
            memcpy(static_cast<char*>(buffer) + done, &one, sizeof one);
            done += sizeof one;
        }
        *result = static_cast<long>(done);
        if (done != 0) return true;
        if (ready_now(fd, EPOLLIN) || is_nonblocking(fd, s)) {
            *result = sys::invoke(SYS_read, fd, buffer, size);
            return true;
        }
        uint32_t generation = s->generation;
        Wake why = wait_fd(fd, EPOLLIN, sys::never);
        *result = -EINTR;
        if (why == Wake::interrupted && interruption_ends_call(true)) return true;
        *result = -EBADF;
        if (s->generation != generation) return true;
    }
}

}  // namespace green

HOOK(int, sigtimedwait, (const sigset_t* set, siginfo_t* info, const timespec* time), redirected) {
    long r;
    if (self == nullptr) {
        r = invoke_point(SYS_rt_sigtimedwait, set, info, time, sys::mask_size);
    } else {
        if (time != nullptr && !valid(time)) return static_cast<int>(result(-EINVAL));
        bool no_wait = time != nullptr && time->tv_sec == 0 && time->tv_nsec == 0;
        r = wait_for_signal(set, info, no_wait ? 0 : deadline_in(time));
    }
    if (r > 0) tell_tkill_as_user(info);
    return static_cast<int>(result(r));
}
HOOK_ALIAS(__sigtimedwait, sigtimedwait, redirected)

HOOK(int, sigwaitinfo, (const sigset_t* set, siginfo_t* info), redirected) {
    return hook_sigtimedwait(set, info, nullptr);
}

// sigwait(3) returns an error number and is not interrupted by handlers.
HOOK(int, sigwait, (const sigset_t* set, int* signal), redirected) {
    int saved = errno, r;
    do {
        r = hook_sigtimedwait(set, nullptr, nullptr);
    } while (r < 0 && errno == EINTR);
    int error = r < 0 ? errno : 0;
    errno = saved;
    if (r > 0) *signal = r;
    return error;
}

HOOK(int, signalfd, (int fd, const sigset_t* set, int flags), redirected) {
    long made = sys::invoke(SYS_signalfd4, fd, set, sys::mask_size, flags);
    if (made >= 0) signals_read_by_descriptor(to_mask(set) & ~never_blocked);
    if (made >= 0 && fd < 0 && self != nullptr)
        fd_created(static_cast<int>(made), FdKind::poll_first, (flags & O_NONBLOCK) != 0);
    return static_cast<int>(result(made));
}

HOOK(int, sigsuspend, (const sigset_t* set), redirected) {
    if (self == nullptr)
        return static_cast<int>(result(invoke_point(SYS_rt_sigsuspend, set, sys::mask_size)));
    MaskDuringCall scope(set);
    return static_cast<int>(result(wait_for_handler()));
}
HOOK_ALIAS(__sigsuspend, sigsuspend, redirected)

HOOK(int, pause, (), redirected) {
    if (self == nullptr)
        return static_cast<int>(result(invoke_point(SYS_ppoll, nullptr, 0, nullptr, nullptr, 0)));
    return static_cast<int>(result(wait_for_handler()));
}
