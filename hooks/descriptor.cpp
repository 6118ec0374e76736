// The life of descriptor numbers: close(2), dup(2), fcntl(2), ioctl(2), and every call that makes
// one.
//
// Nothing here waits. These hooks keep runtime/fd_table.h true: what a number means, whether others
// share its description, whether the program made it non-blocking. A number that belongs to the
// library is not there for the program.

#include <stdarg.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hooks/activate.h"
#include "hooks/wait.h"
#include "runtime/loop.h"
#include "runtime/offload.h"

using namespace green;

namespace {

long green_close(int fd) {
    if (loop_owns_fd(fd)) return -EBADF;
    fd_forget(fd);
    return sys::invoke(SYS_close, fd);
}

// A new descriptor of a new description; what it is will be learnt when it matters.
long made(long fd, int flags = 0, FdKind kind = FdKind::unknown) {
    if (fd >= 0 && self != nullptr) {
        fd_created(static_cast<int>(fd), kind, (flags & O_NONBLOCK) != 0);
    }
    return fd;
}

// A record lock: tried first, then waited for on a helper, which shares what owns the lock.
long wait_for_lock(int fd, int command, long argument) {
    cancellation_point();
    long r = sys::invoke(SYS_fcntl, fd, command == F_SETLKW ? F_SETLK : F_OFD_SETLK, argument);
    if (r != -EAGAIN && r != -EACCES) return r;
    r = offload(SYS_fcntl, fd, command, argument);
    safe_point();
    return r;
}

// Opening one end of a FIFO waits for the other (fifo(7)); nothing else that is opened waits for
// long.
long open_file(int directory, const char* path, int flags, mode_t mode) {
    constexpr int never_waits = O_NONBLOCK | O_CREAT | O_DIRECTORY | O_PATH;
    struct stat st;
    bool fifo = self != nullptr && (flags & never_waits) == 0 && (flags & O_ACCMODE) != O_RDWR &&
                sys::invoke(SYS_newfstatat, directory, path, &st, 0) == 0 && S_ISFIFO(st.st_mode);
    if (!fifo) return made(sys::invoke(SYS_openat, directory, path, flags, mode), flags);
    cancellation_point();
    long fd = offload(SYS_openat, directory, sys::arg(path), flags, mode);
    safe_point();
    return made(fd, flags);
}

long green_fcntl(int fd, int command, long argument) {
    if (loop_owns_fd(fd)) return -EBADF;
    if (command == F_SETLKW || command == F_OFD_SETLKW) return wait_for_lock(fd, command, argument);
    long r = sys::invoke(SYS_fcntl, fd, command, argument);
    if (r < 0) return r;
    if (command == F_SETFL) fd_mode_changed(fd, (argument & O_NONBLOCK) != 0);
    if (command == F_DUPFD || command == F_DUPFD_CLOEXEC) {
        fd_duplicated(fd, static_cast<int>(r));
    }
    return r;
}

long green_dup3(int from, int to, int flags) {
    if (loop_owns_fd(from) || loop_owns_fd(to)) return -EBADF;
    if (from != to) fd_forget(to);
    long r = sys::invoke(SYS_dup3, from, to, flags);
    if (r >= 0) fd_duplicated(from, to);
    return r;
}

}  // namespace

HOOK(int, close, (int fd), redirected) {
    if (self == nullptr) return static_cast<int>(result(sys::invoke(SYS_close, fd)));
    return static_cast<int>(result(green_close(fd)));
}
HOOK_ALIAS(__close, close, redirected)

INTERNAL_HOOK(int, __close_nocancel, (int fd)) {
    if (self == nullptr || in_spawned_child())
        return static_cast<int>(result(sys::invoke(SYS_close, fd)));
    return static_cast<int>(result(green_close(fd)));
}

HOOK(int, close_range, (unsigned first, unsigned last, int flags), redirected) {
    constexpr int only_mark = 4;  // CLOSE_RANGE_CLOEXEC
    if (self == nullptr || (flags & only_mark) != 0 || first > last) {
        return static_cast<int>(result(sys::invoke(SYS_close_range, first, last, flags)));
    }
    fd_forget_range(first, last);
    // Around our own descriptors, of which there are few and all high.
    unsigned from = first;
    for (unsigned fd = first; fd <= last && fd < loop_highest_fd() + 1U; ++fd) {
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
    if (self != nullptr && r >= 0) fd_duplicated(fd, static_cast<int>(r));
    return static_cast<int>(result(r));
}

HOOK(int, dup2, (int from, int to), redirected) {
    bool plain = self == nullptr || from == to || in_spawned_child();
    return static_cast<int>(result(plain ? sys::dup2(from, to) : green_dup3(from, to, 0)));
}
HOOK_ALIAS(__dup2, dup2, redirected)

HOOK(int, dup3, (int from, int to, int flags), redirected) {
    if (self == nullptr || from == to) {
        return static_cast<int>(result(sys::invoke(SYS_dup3, from, to, flags)));
    }
    return static_cast<int>(result(green_dup3(from, to, flags)));
}

HOOK(int, fcntl, (int fd, int command, ...), redirected) {
    va_list list;
    va_start(list, command);
    long argument = va_arg(list, long);
    va_end(list);
    if (self == nullptr)
        return static_cast<int>(result(sys::invoke(SYS_fcntl, fd, command, argument)));
    return static_cast<int>(result(green_fcntl(fd, command, argument)));
}
HOOK_ALIAS(fcntl64, fcntl, redirected)
HOOK_ALIAS(__fcntl, fcntl, redirected)

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
        made(fds[0], flags, FdKind::nowait);
        made(fds[1], flags, FdKind::nowait);
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

HOOK(int, openat, (int directory, const char* path, int flags, ...), redirected) {
    va_list list;
    va_start(list, flags);
    auto mode = static_cast<mode_t>(va_arg(list, unsigned));
    va_end(list);
    return static_cast<int>(result(open_file(directory, path, flags, mode)));
}
HOOK_ALIAS(openat64, openat, redirected)

HOOK(int, open, (const char* path, int flags, ...), redirected) {
    va_list list;
    va_start(list, flags);
    auto mode = static_cast<mode_t>(va_arg(list, unsigned));
    va_end(list);
    return static_cast<int>(result(open_file(AT_FDCWD, path, flags, mode)));
}
HOOK_ALIAS(open64, open, redirected)
HOOK_ALIAS(__open, open, redirected)
HOOK_ALIAS(__open64, open, redirected)

HOOK(int, creat, (const char* path, mode_t mode), redirected) {
    return hook_open(path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}
HOOK_ALIAS(creat64, creat, redirected)
