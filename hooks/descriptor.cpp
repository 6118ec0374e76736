// The life of descriptor numbers: close(2), dup(2), fcntl(2), ioctl(2), and every call that makes
// one.
//
// Hardly anything here waits. These hooks keep runtime/fd_table.h true: what a number means,
// whether others share its description, whether the program made it non-blocking. A number that
// belongs to the library is not there for the program.

#include <linux/close_range.h>
#include <stdarg.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hooks/activate.h"
#include "hooks/wait.h"
#include "hooks/worker.h"
#include "runtime/loop.h"
#include "runtime/offload.h"

using namespace green;

namespace {

long green_close(int fd) {
    if (loop_owns_fd(fd)) return -EBADF;
    FdState* s = fd_state(fd);
    bool lingers = s != nullptr && s->lingers;
    fd_forget(fd);
    return lingers ? offload(Lasts::briefly, SYS_close, fd) : sys::invoke(SYS_close, fd);
}

// A new descriptor of a new description; what it is will be learnt when it matters.
long made(long fd, int flags = 0, FdKind kind = FdKind::unknown) {
    if (self == nullptr) {
        fd_note_early(static_cast<int>(fd), true);
    } else if (fd >= 0) {
        fd_created(static_cast<int>(fd), kind, (flags & O_NONBLOCK) != 0);
    }
    return fd;
}

constexpr Manner waits_for_another = {Lasts::endlessly, true, true};

void note_pipe_end(int fd, int flags) {
    made(fd, flags, FdKind::nowait);
    bool packets = (flags & O_DIRECT) != 0;
    if (FdState* s = self == nullptr ? nullptr : fd_state(fd)) s->drains = !packets;
}

// A record lock: tried first, then waited for on a helper, which shares what owns the lock.
long wait_for_lock(int fd, int command, long argument) {
    cancel_if_pending();
    long r = sys::invoke(SYS_fcntl, fd, command == F_SETLKW ? F_SETLK : F_OFD_SETLK, argument);
    if (r != -EAGAIN && r != -EACCES) return finish_call(r);
    return offloaded(waits_for_another, SYS_fcntl, fd, command, argument);
}

// Opening one end of a FIFO waits for the other (fifo(7)); nothing else that is opened waits for
// long.
long open_file(int directory, const char* path, int flags, mode_t mode) {
    if (self == nullptr) {
        return made(invoke_point(SYS_openat, directory, path, flags, mode), flags);
    }
    cancel_if_pending();
    constexpr int never_waits = O_NONBLOCK | O_EXCL | O_DIRECTORY | O_PATH;
    struct stat st;
    bool fifo = (flags & never_waits) == 0 && (flags & O_ACCMODE) != O_RDWR &&
                sys::invoke(SYS_newfstatat, directory, path, &st, 0) == 0 && S_ISFIFO(st.st_mode);
    if (!fifo) {
        return finish_call(made(sys::invoke(SYS_openat, directory, path, flags, mode), flags));
    }
    return made(offloaded(waits_for_another, SYS_openat, directory, path, flags, mode), flags);
}

// What dup(2) and the like do while the library is dormant: neither is told from a shared one.
long duplicated_early(int from, long to) {
    fd_note_early(from, false);
    fd_note_early(static_cast<int>(to), false);
    return to;
}

long green_fcntl(int fd, int command, long argument) {
    if (loop_owns_fd(fd)) return -EBADF;
    if (command == F_SETLKW || command == F_OFD_SETLKW) return wait_for_lock(fd, command, argument);
    long r = sys::invoke(SYS_fcntl, fd, command, argument);
    if (r < 0) return r;
    if (command == F_SETFL) fd_mode_changed(fd, (argument & O_NONBLOCK) != 0);
    if (command == F_SETFL && (argument & O_DIRECT) != 0) fd_writes_packets(fd);
    if (command == F_DUPFD || command == F_DUPFD_CLOEXEC) {
        fd_duplicated(fd, static_cast<int>(r));
    }
    return r;
}

long green_dup3(int from, int to, int flags) {
    if (loop_owns_fd(from) || loop_owns_fd(to)) return -EBADF;
    bool may_succeed = (flags & ~O_CLOEXEC) == 0 && sys::invoke(SYS_fcntl, from, F_GETFD) >= 0;
    if (from != to && may_succeed) fd_forget(to);  // else those who wait for it wait on
    long r = sys::invoke(SYS_dup3, from, to, flags);
    if (r >= 0) fd_duplicated(from, to);
    return r;
}

}  // namespace

HOOK(int, close, (int fd), by_helper) {
    worker_may_close(fd);
    if (self == nullptr) {
        fd_note_early(fd, false);
        if (scheduler_active) fd_table.numbers_may_change = true;  // a kernel thread not ours
        return static_cast<int>(result(sys::invoke(SYS_close, fd)));
    }
    cancellation_point();
    return static_cast<int>(result(green_close(fd)));
}
HOOK_ALIAS(__close, close, by_helper)

INTERNAL_HOOK(int, __close_nocancel, (int fd)) {
    if (self == nullptr || in_spawned_child())
        return static_cast<int>(result(sys::invoke(SYS_close, fd)));
    return static_cast<int>(result(green_close(fd)));
}

HOOK(int, close_range, (unsigned first, unsigned last, int flags), redirected) {
    bool closes = (static_cast<unsigned>(flags) & ~CLOSE_RANGE_UNSHARE) == 0 && first <= last;
    if (closes) worker_may_close(first, last);
    if (self == nullptr || !closes) {
        for (unsigned fd = first; closes && fd <= last && fd < early.words_used * 64; ++fd) {
            fd_note_early(static_cast<int>(fd), false);
        }
        return static_cast<int>(result(sys::invoke(SYS_close_range, first, last, flags)));
    }
    fd_forget_range(first, last);
    // Around our own descriptors, of which there are few and all high.
    unsigned from = first, end = static_cast<unsigned>(loop_highest_fd() + 1);
    for (unsigned fd = first; fd <= last && fd < end; ++fd) {
        if (!loop_owns_fd(static_cast<int>(fd))) continue;
        if (fd > from) sys::invoke(SYS_close_range, from, fd - 1, flags);
        from = fd + 1;
    }
    if (from > last) return 0;
    return static_cast<int>(result(sys::invoke(SYS_close_range, from, last, flags)));
}

HOOK(void, closefrom, (int low), interposed) {
    hook_close_range(static_cast<unsigned>(low < 0 ? 0 : low), ~0U, 0);
}

HOOK(int, dup, (int fd), redirected) {
    long r = sys::invoke(SYS_dup, fd);
    if (self == nullptr) return static_cast<int>(result(duplicated_early(fd, r)));
    if (r >= 0) fd_duplicated(fd, static_cast<int>(r));
    return static_cast<int>(result(r));
}

HOOK(int, dup2, (int from, int to), redirected) {
    if (from != to) worker_may_close(to);
    bool plain = self == nullptr || from == to || in_spawned_child();
    if (!plain) return static_cast<int>(result(green_dup3(from, to, 0)));
    return static_cast<int>(result(duplicated_early(from, sys::dup2(from, to))));
}
HOOK_ALIAS(__dup2, dup2, redirected)

HOOK(int, dup3, (int from, int to, int flags), redirected) {
    if (from != to) worker_may_close(to);
    if (self == nullptr || from == to) {
        long r = sys::invoke(SYS_dup3, from, to, flags);
        return static_cast<int>(result(duplicated_early(from, r)));
    }
    return static_cast<int>(result(green_dup3(from, to, flags)));
}

HOOK(int, fcntl, (int fd, int command, ...), by_helper) {
    va_list list;
    va_start(list, command);
    long argument = va_arg(list, long);
    va_end(list);
    if (self != nullptr) return static_cast<int>(result(green_fcntl(fd, command, argument)));
    bool waits = command == F_SETLKW || command == F_OFD_SETLKW;
    long r = waits ? invoke_point(SYS_fcntl, fd, command, argument)
                   : sys::invoke(SYS_fcntl, fd, command, argument);
    bool duplicates = command == F_DUPFD || command == F_DUPFD_CLOEXEC;
    return static_cast<int>(result(duplicates ? duplicated_early(fd, r) : r));
}
HOOK_ALIAS(fcntl64, fcntl, by_helper)
HOOK_ALIAS(__fcntl, fcntl, by_helper)

HOOK(int, ioctl, (int fd, unsigned long request, ...), redirected) {
    va_list list;
    va_start(list, request);
    void* argument = va_arg(list, void*);
    va_end(list);
    long r = sys::invoke(SYS_ioctl, fd, request, argument);
    if (self != nullptr && r == 0 && request == FIONBIO) {
        fd_mode_changed(fd, *static_cast<int*>(argument) != 0);
    }
    return static_cast<int>(result(r));
}

HOOK(int, pipe2, (int fds[2], int flags), redirected) {
    long r = sys::invoke(SYS_pipe2, fds, flags);
    if (r == 0) {
        note_pipe_end(fds[0], flags);
        note_pipe_end(fds[1], flags);
        fd_paired(fds[1], fds[0]);
    }
    return static_cast<int>(result(r));
}

HOOK(int, pipe, (int fds[2]), redirected) { return hook_pipe2(fds, 0); }

HOOK(int, eventfd, (unsigned value, int flags), redirected) {
    return static_cast<int>(result(made(sys::invoke(SYS_eventfd2, value, flags), flags)));
}

HOOK(int, timerfd_create, (int clock, int flags), redirected) {
    return static_cast<int>(result(made(sys::invoke(SYS_timerfd_create, clock, flags), flags)));
}

HOOK(int, inotify_init1, (int flags), redirected) {
    return static_cast<int>(result(made(sys::invoke(SYS_inotify_init1, flags), flags)));
}

HOOK(int, inotify_init, (), redirected) { return hook_inotify_init1(0); }

// libev makes its set here too: that one is moved out of the program's way.
HOOK(int, epoll_create1, (int flags), redirected) {
    long fd = sys::invoke(SYS_epoll_create1, flags);
    if (loop_is_being_made()) return move_fd_high(static_cast<int>(fd));
    return static_cast<int>(result(made(fd)));
}

HOOK(int, epoll_create, (int size), redirected) {
    if (size <= 0) return static_cast<int>(result(-EINVAL));
    return hook_epoll_create1(0);
}

HOOK(int, openat, (int directory, const char* path, int flags, ...), by_helper) {
    va_list list;
    va_start(list, flags);
    auto mode = static_cast<mode_t>(va_arg(list, unsigned));
    va_end(list);
    return static_cast<int>(result(open_file(directory, path, flags, mode)));
}
HOOK_ALIAS(openat64, openat, by_helper)

HOOK(int, open, (const char* path, int flags, ...), by_helper) {
    va_list list;
    va_start(list, flags);
    auto mode = static_cast<mode_t>(va_arg(list, unsigned));
    va_end(list);
    return static_cast<int>(result(open_file(AT_FDCWD, path, flags, mode)));
}
HOOK_ALIAS(open64, open, by_helper)
HOOK_ALIAS(__open, open, by_helper)
HOOK_ALIAS(__open64, open, by_helper)

// Inside libc: streams that are opened with "c". No cancellation point, and called by children of
// posix_spawn(3).
INTERNAL_HOOK(int, __open_nocancel, (const char* path, int flags, ...)) {
    va_list list;
    va_start(list, flags);
    auto mode = static_cast<mode_t>(va_arg(list, unsigned));
    va_end(list);
    if (self == nullptr || in_spawned_child()) {
        return static_cast<int>(result(sys::invoke(SYS_openat, AT_FDCWD, path, flags, mode)));
    }
    NotCancelled scope;
    return static_cast<int>(result(open_file(AT_FDCWD, path, flags, mode)));
}
GREEN_INNER_ROW(__open64_nocancel, hook___open_nocancel)

HOOK(int, creat, (const char* path, mode_t mode), by_helper) {
    return hook_open(path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}
HOOK_ALIAS(creat64, creat, by_helper)
