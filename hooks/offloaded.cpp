// Calls that block with no descriptor to wait on: file locks, synchronisation to disk, System V and
// POSIX message queues, System V semaphores, draining a terminal.
//
// Each is first asked not to block, where it can be; what would block goes to the offload pool.
// fsync and its kin cannot be asked, and always go there. Reads of files are in io.cpp.

#include <fcntl.h>
#include <mqueue.h>
#include <sys/file.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <termios.h>

#include "hooks/fs_trap.h"
#include "hooks/wait.h"
#include "runtime/offload.h"

using namespace green;

namespace {

// POSIX makes most of them cancellation points; System V semaphores and BSD's locks are none. Waits
// on System V objects are never restarted (signal(7)).
constexpr Manner disk = {Lasts::briefly, true, true};
constexpr Manner disk_uncancelled = {Lasts::briefly, false, true};
constexpr Manner waits = {Lasts::endlessly, true, true};
constexpr Manner lock_waits = {Lasts::endlessly, false, true};
constexpr Manner message_waits = {Lasts::endlessly, true, false};
constexpr Manner semaphore_waits = {Lasts::endlessly, false, false};

// The array with IPC_NOWAIT in each; semtimedop(2) takes no more than SEMOPM, which is 500.
constexpr size_t most_operations = 500;

long semop_at_once(int set, const sembuf* operations, size_t count) {
    sembuf copy[most_operations];
    for (size_t i = 0; i < count; ++i) {
        copy[i] = operations[i];
        copy[i].sem_flg = static_cast<short>(copy[i].sem_flg | IPC_NOWAIT);
    }
    return sys::invoke(SYS_semop, set, copy, count);
}

bool may_wait(const sembuf* operations, size_t count) {
    bool waits = false;
    for (size_t i = 0; i < count; ++i) waits = waits || (operations[i].sem_flg & IPC_NOWAIT) == 0;
    return waits;
}

long green_semop(int set, sembuf* operations, size_t count, const timespec* time) {
    bool copied = count <= most_operations && operations != nullptr;
    if (copied && (time == nullptr || valid(time))) {
        long r = semop_at_once(set, operations, count);
        if (r != -EAGAIN || !may_wait(operations, count)) return finish_call(r);
    }
    return offloaded(semaphore_waits, SYS_semtimedop, set, operations, count, time);
}

}  // namespace

HOOK(int, flock, (int fd, int operation), by_helper) {
    if (self != nullptr && (operation & LOCK_NB) == 0) {
        long r = sys::invoke(SYS_flock, fd, operation | LOCK_NB);
        if (r != -EWOULDBLOCK) return static_cast<int>(result(r));
    }
    return static_cast<int>(result(offloaded(lock_waits, SYS_flock, fd, operation)));
}

HOOK(int, fsync, (int fd), by_helper) {
    return static_cast<int>(result(offloaded(disk, SYS_fsync, fd)));
}
HOOK(int, fdatasync, (int fd), by_helper) {
    return static_cast<int>(result(offloaded(disk, SYS_fdatasync, fd)));
}
HOOK(int, syncfs, (int fd), by_helper) {
    return static_cast<int>(result(offloaded(disk_uncancelled, SYS_syncfs, fd)));
}
HOOK(void, sync, (), by_helper) { offloaded(disk_uncancelled, SYS_sync); }
HOOK(int, sync_file_range, (int fd, off64_t offset, off64_t size, unsigned flags), by_helper) {
    return static_cast<int>(result(offloaded(disk, SYS_sync_file_range, fd, offset, size, flags)));
}
HOOK(int, msync, (void* address, size_t size, int flags), by_helper) {
    if (self != nullptr) cancellation_point();
    if ((flags & MS_SYNC) == 0)
        return static_cast<int>(result(sys::invoke(SYS_msync, address, size, flags)));
    return static_cast<int>(result(offloaded(disk, SYS_msync, address, size, flags)));
}

HOOK(int, tcdrain, (int fd), by_helper) {
    constexpr unsigned long wait_until_sent = 0x5409;  // TCSBRK with a non-zero argument
    return static_cast<int>(result(offloaded(waits, SYS_ioctl, fd, wait_until_sent, 1)));
}

HOOK(int, semtimedop, (int set, sembuf* operations, size_t count, const timespec* time),
     by_helper) {
    if (self == nullptr) {
        return static_cast<int>(result(sys::invoke(SYS_semtimedop, set, operations, count, time)));
    }
    return static_cast<int>(result(green_semop(set, operations, count, time)));
}
HOOK(int, semop, (int set, sembuf* operations, size_t count), by_helper) {
    return hook_semtimedop(set, operations, count, nullptr);
}

HOOK(int, msgsnd, (int queue, const void* message, size_t size, int flags), by_helper) {
    if (self != nullptr) cancel_if_pending();
    if (self != nullptr && (flags & IPC_NOWAIT) == 0) {
        long r = sys::invoke(SYS_msgsnd, queue, message, size, flags | IPC_NOWAIT);
        if (r != -EAGAIN) return static_cast<int>(result(finish_call(r)));
    }
    return static_cast<int>(
        result(offloaded(message_waits, SYS_msgsnd, queue, message, size, flags)));
}
HOOK(ssize_t, msgrcv, (int queue, void* message, size_t size, long type, int flags), by_helper) {
    if (self != nullptr) cancel_if_pending();
    if (self != nullptr && (flags & IPC_NOWAIT) == 0) {
        long r = sys::invoke(SYS_msgrcv, queue, message, size, type, flags | IPC_NOWAIT);
        if (r != -ENOMSG) return result(finish_call(r));
    }
    return result(offloaded(message_waits, SYS_msgrcv, queue, message, size, type, flags));
}

// A message queue is asked with a time that has passed; what is wrong with the time that is given
// the kernel says at once.
HOOK(ssize_t, mq_timedreceive,
     (mqd_t queue, char* message, size_t size, unsigned* priority, const timespec* time),
     by_helper) {
    constexpr timespec past = {0, 0};
    if (self != nullptr) {
        cancel_if_pending();
        const timespec* asked = time == nullptr || valid(time) ? &past : time;
        long r = sys::invoke(SYS_mq_timedreceive, queue, message, size, priority, asked);
        if (r != -ETIMEDOUT) return result(finish_call(r));
    }
    return result(offloaded(waits, SYS_mq_timedreceive, queue, message, size, priority, time));
}
HOOK(ssize_t, mq_receive, (mqd_t queue, char* message, size_t size, unsigned* priority),
     by_helper) {
    return hook_mq_timedreceive(queue, message, size, priority, nullptr);
}
HOOK(int, mq_timedsend,
     (mqd_t queue, const char* message, size_t size, unsigned priority, const timespec* time),
     by_helper) {
    constexpr timespec past = {0, 0};
    if (self != nullptr) {
        cancel_if_pending();
        const timespec* asked = time == nullptr || valid(time) ? &past : time;
        long r = sys::invoke(SYS_mq_timedsend, queue, message, size, priority, asked);
        if (r != -ETIMEDOUT) return static_cast<int>(result(finish_call(r)));
    }
    return static_cast<int>(
        result(offloaded(waits, SYS_mq_timedsend, queue, message, size, priority, time)));
}
HOOK(int, mq_send, (mqd_t queue, const char* message, size_t size, unsigned priority), by_helper) {
    return hook_mq_timedsend(queue, message, size, priority, nullptr);
}

// The first one makes a thread of libc's, for which it blocks all signals.
ORIGINAL(int, mq_notify, (mqd_t, const sigevent*), nullptr)
HOOK(int, mq_notify, (mqd_t queue, const sigevent* event), interposed) {
    KernelKnowsFs scope;
    return original_mq_notify()(queue, event);
}
