// Calls that block with no descriptor to wait on: file locks, synchronisation to disk, System V and
// POSIX message queues, System V semaphores, draining a terminal, opening a FIFO, splice(2).
//
// Each is first asked not to block, where it can be; what would block goes to the offload pool.
// fsync and its kin cannot be asked, and always go there.

#include <fcntl.h>
#include <mqueue.h>
#include <sys/file.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <termios.h>

#include "hooks/wait.h"
#include "runtime/offload.h"

using namespace green;

namespace {

// A system call as it is, on a helper if there are green threads.
template <class... Args>
long elsewhere(long number, Args... args) {
    if (self == nullptr) return sys::invoke(number, args...);
    cancellation_point();
    long r = offload(number, sys::arg(args)...);
    safe_point();
    return r;
}

}  // namespace

HOOK(int, flock, (int fd, int operation), redirected) {
    if (self != nullptr && (operation & LOCK_NB) == 0) {
        long r = sys::invoke(SYS_flock, fd, operation | LOCK_NB);
        if (r != -EWOULDBLOCK) return static_cast<int>(result(r));
    }
    return static_cast<int>(result(elsewhere(SYS_flock, fd, operation)));
}

HOOK(int, fsync, (int fd), redirected) {
    return static_cast<int>(result(elsewhere(SYS_fsync, fd)));
}
HOOK(int, fdatasync, (int fd), redirected) {
    return static_cast<int>(result(elsewhere(SYS_fdatasync, fd)));
}
HOOK(int, syncfs, (int fd), redirected) {
    return static_cast<int>(result(elsewhere(SYS_syncfs, fd)));
}
HOOK(void, sync, (), redirected) { elsewhere(SYS_sync); }
HOOK(int, sync_file_range, (int fd, off64_t offset, off64_t size, unsigned flags), redirected) {
    return static_cast<int>(result(elsewhere(SYS_sync_file_range, fd, offset, size, flags)));
}
HOOK(int, msync, (void* address, size_t size, int flags), redirected) {
    if ((flags & MS_SYNC) == 0)
        return static_cast<int>(result(sys::invoke(SYS_msync, address, size, flags)));
    return static_cast<int>(result(elsewhere(SYS_msync, address, size, flags)));
}

HOOK(int, tcdrain, (int fd), redirected) {
    constexpr unsigned long wait_until_sent = 0x5409;  // TCSBRK with a non-zero argument
    return static_cast<int>(result(elsewhere(SYS_ioctl, fd, wait_until_sent, 1)));
}

HOOK(int, semop, (int set, sembuf* operations, size_t count), redirected) {
    return static_cast<int>(result(elsewhere(SYS_semop, set, operations, count)));
}
HOOK(int, semtimedop, (int set, sembuf* operations, size_t count, const timespec* time),
     redirected) {
    return static_cast<int>(result(elsewhere(SYS_semtimedop, set, operations, count, time)));
}

HOOK(int, msgsnd, (int queue, const void* message, size_t size, int flags), redirected) {
    if (self != nullptr && (flags & IPC_NOWAIT) == 0) {
        long r = sys::invoke(SYS_msgsnd, queue, message, size, flags | IPC_NOWAIT);
        if (r != -EAGAIN) return static_cast<int>(result(r));
    }
    return static_cast<int>(result(elsewhere(SYS_msgsnd, queue, message, size, flags)));
}
HOOK(ssize_t, msgrcv, (int queue, void* message, size_t size, long type, int flags), redirected) {
    if (self != nullptr && (flags & IPC_NOWAIT) == 0) {
        long r = sys::invoke(SYS_msgrcv, queue, message, size, type, flags | IPC_NOWAIT);
        if (r != -ENOMSG) return result(r);
    }
    return result(elsewhere(SYS_msgrcv, queue, message, size, type, flags));
}

// A message queue is asked with a time that has passed.
HOOK(ssize_t, mq_timedreceive,
     (mqd_t queue, char* message, size_t size, unsigned* priority, const timespec* time),
     redirected) {
    constexpr timespec past = {0, 0};
    if (self != nullptr) {
        long r = sys::invoke(SYS_mq_timedreceive, queue, message, size, priority, &past);
        if (r != -ETIMEDOUT) return result(r);
    }
    return result(elsewhere(SYS_mq_timedreceive, queue, message, size, priority, time));
}
HOOK(ssize_t, mq_receive, (mqd_t queue, char* message, size_t size, unsigned* priority),
     redirected) {
    return hook_mq_timedreceive(queue, message, size, priority, nullptr);
}
HOOK(int, mq_timedsend,
     (mqd_t queue, const char* message, size_t size, unsigned priority, const timespec* time),
     redirected) {
    constexpr timespec past = {0, 0};
    if (self != nullptr) {
        long r = sys::invoke(SYS_mq_timedsend, queue, message, size, priority, &past);
        if (r != -ETIMEDOUT) return static_cast<int>(result(r));
    }
    return static_cast<int>(
        result(elsewhere(SYS_mq_timedsend, queue, message, size, priority, time)));
}
HOOK(int, mq_send, (mqd_t queue, const char* message, size_t size, unsigned priority), redirected) {
    return hook_mq_timedsend(queue, message, size, priority, nullptr);
}

// splice(2) and tee(2) obey SPLICE_F_NONBLOCK for pipes only, so a helper makes the call.
HOOK(ssize_t, splice,
     (int from, off64_t* from_at, int to, off64_t* to_at, size_t size, unsigned flags),
     redirected) {
    return result(elsewhere(SYS_splice, from, from_at, to, to_at, size, flags));
}
HOOK(ssize_t, tee, (int from, int to, size_t size, unsigned flags), redirected) {
    return result(elsewhere(SYS_tee, from, to, size, flags));
}
HOOK(ssize_t, vmsplice, (int fd, const iovec* v, size_t count, unsigned flags), redirected) {
    return result(elsewhere(SYS_vmsplice, fd, v, count, flags));
}
