// syscall(2): what programs and libraries do behind libc's back.
//
// libstdc++ (std::atomic::wait, semaphores, latches), glib and others wait on futexes with
// syscall(); these park like everything else (futex(2)). Others use it for calls that have hooks;
// those are sent there. All else is the plain system call. None is a cancellation point.

#include <fcntl.h>
#include <linux/futex.h>
#include <linux/io_uring.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdarg.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include <utility>

#include "hooks/activate.h"
#include "hooks/affinity.h"
#include "hooks/hooks.h"
#include "hooks/inline_futex.h"
#include "hooks/scheduling.h"
#include "hooks/signal.h"
#include "hooks/thread.h"
#include "hooks/uring.h"
#include "hooks/wait.h"

using namespace green;

namespace {

struct FutexArguments {
    uint32_t* word;
    int operation;
    uint32_t value;
    const timespec* timeout;  // or, for a requeue, how many to move
    uint32_t* word2;
    uint32_t value3;
};

// FUTEX_WAIT's time-out is relative, FUTEX_WAIT_BITSET's absolute.
sys::Deadline futex_deadline(const FutexArguments& a, int command) {
    if (command == FUTEX_WAIT) return deadline_in(a.timeout);
    clockid_t clock = (a.operation & FUTEX_CLOCK_REALTIME) != 0 ? CLOCK_REALTIME : CLOCK_MONOTONIC;
    return deadline_at(clock, a.timeout);
}

template <class T>
T word_as(long word) {
    if constexpr (std::is_pointer_v<T>) {
        return reinterpret_cast<T>(word);
    } else {
        return static_cast<T>(word);
    }
}

// Whether memory can be no other process's: an anonymous page of a private mapping, as the kernel's
// page table says (proc_pid_pagemap(5)). False where that cannot be asked.
bool is_private_memory(const void* at) {
    constexpr uint64_t present = uint64_t{1} << 63, file_or_shared = uint64_t{1} << 61;
    constexpr uintptr_t page = 4096;
    if (sandboxed) return false;
    long fd = sys::invoke(SYS_openat, AT_FDCWD, "/proc/self/pagemap", O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0) return false;
    uint64_t entry = 0;
    auto offset = static_cast<long>(reinterpret_cast<uintptr_t>(at) / page * sizeof entry);
    bool told = sys::invoke(SYS_pread64, fd, &entry, sizeof entry, offset) == sizeof entry;
    sys::invoke(SYS_close, fd);
    return told && (entry & (present | file_or_shared)) == present;
}

long futex_wait(const FutexArguments& a, int command) {
    if (a.timeout != nullptr && !valid(a.timeout)) return -EINVAL;
    uint32_t bits = command == FUTEX_WAIT_BITSET ? a.value3 : FUTEX_BITSET_MATCH_ANY;
    if (bits == 0) return -EINVAL;
    sys::Deadline deadline = futex_deadline(a, command);
    // Not marked private: another process may be the one that wakes. The kernel's queue and ours
    // cannot both be waited on, so the word is looked at again and again. But most of those who
    // leave out the mark do not mean it (liburcu): a wait that lasts looks once where the word is.
    bool is_private = (a.operation & FUTEX_PRIVATE_FLAG) != 0;
    constexpr uint64_t step = 2 * sys::millisecond;
    constexpr int steps_before_look = 10;
    int steps = 0;
    if (__atomic_load_n(a.word, __ATOMIC_SEQ_CST) != a.value) return -EAGAIN;
    for (;;) {
        sys::Deadline again = is_private ? sys::never : sys::after(step);
        Wake why = wait_address(a.word, again < deadline ? again : deadline, bits);
        if (why == Wake::ready) return waited(0);
        if (why == Wake::interrupted) {
            bool ends = run_due_signals(deadline == sys::never);
            cancel_if_asynchronous();
            if (ends) return -EINTR;
            // The call is made again: what happened while the handler ran is seen by the word.
            if (__atomic_load_n(a.word, __ATOMIC_SEQ_CST) != a.value) return -EAGAIN;
        }
        if (why == Wake::timed_out) {
            if (deadline <= again) return waited(-ETIMEDOUT);
            if (__atomic_load_n(a.word, __ATOMIC_SEQ_CST) != a.value) return waited(0);
            if (++steps == steps_before_look) is_private = is_private_memory(a.word);
        }
    }
}

long futex_wake(const FutexArguments& a, uint32_t bits) {
    long woken = wake_address_tagged(a.word, a.value, bits);
    bool here = (a.operation & FUTEX_PRIVATE_FLAG) != 0 && !outsiders_wait;
    if (here || woken >= static_cast<long>(a.value)) return woken;
    long others = sys::invoke(SYS_futex, a.word, a.operation,
                              a.value - static_cast<uint32_t>(woken), nullptr, nullptr, a.value3);
    return others > 0 ? woken + others : woken;
}

long futex_requeue(const FutexArguments& a, bool compare) {
    if (compare && __atomic_load_n(a.word, __ATOMIC_SEQ_CST) != a.value3) return -EAGAIN;
    auto most = static_cast<uint32_t>(reinterpret_cast<uintptr_t>(a.timeout));
    long woken = wake_address(a.word, a.value);
    long moved = requeue_address(a.word, a.word2, most);
    return woken + moved;
}

// FUTEX_WAKE_OP: an operation on the second word, and wakes on both (futex(2)).
long futex_wake_op(const FutexArguments& a) {
    uint32_t how = a.value3 >> 28 & 7, comparison = a.value3 >> 24 & 15;
    uint32_t operand = a.value3 >> 12 & 0xfff, limit = a.value3 & 0xfff;
    constexpr uint32_t shift = static_cast<uint32_t>(FUTEX_OP_OPARG_SHIFT) << 28;
    if ((a.value3 & shift) != 0) operand = 1U << (operand & 31);
    uint32_t old = __atomic_load_n(a.word2, __ATOMIC_SEQ_CST), next = old;
    switch (how) {
        case FUTEX_OP_SET:
            next = operand;
            break;
        case FUTEX_OP_ADD:
            next = old + operand;
            break;
        case FUTEX_OP_OR:
            next = old | operand;
            break;
        case FUTEX_OP_ANDN:
            next = old & ~operand;
            break;
        case FUTEX_OP_XOR:
            next = old ^ operand;
            break;
        default:
            return -ENOSYS;
    }
    __atomic_store_n(a.word2, next, __ATOMIC_SEQ_CST);
    auto was = static_cast<int32_t>(old), than = static_cast<int32_t>(limit);
    bool second = false;
    switch (comparison) {
        case FUTEX_OP_CMP_EQ:
            second = was == than;
            break;
        case FUTEX_OP_CMP_NE:
            second = was != than;
            break;
        case FUTEX_OP_CMP_LT:
            second = was < than;
            break;
        case FUTEX_OP_CMP_LE:
            second = was <= than;
            break;
        case FUTEX_OP_CMP_GT:
            second = was > than;
            break;
        case FUTEX_OP_CMP_GE:
            second = was >= than;
            break;
        default:
            return -ENOSYS;
    }
    long woken = wake_address(a.word, a.value);
    if (second) {
        woken +=
            wake_address(a.word2, static_cast<uint32_t>(reinterpret_cast<uintptr_t>(a.timeout)));
    }
    return woken;
}

// Priority inheritance: the word is the id of its owner, which the program itself puts there when
// it is 0, and takes away when nobody waits. Our ids mean nothing to the kernel; all of this is
// here, but for the priorities.
uint32_t own_id() { return static_cast<uint32_t>(self->tid); }

bool replace_word(uint32_t* word, uint32_t from, uint32_t to) {
    return __atomic_compare_exchange_n(word, &from, to, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

// 0, a negated errno, or 1: it has an owner, who is to wake somebody.
long take_inheriting(uint32_t* word, bool is_private) {
    for (;;) {
        uint32_t seen = __atomic_load_n(word, __ATOMIC_SEQ_CST);
        uint32_t owner_id = seen & FUTEX_TID_MASK, kept = seen & FUTEX_OWNER_DIED;
        if (owner_id == own_id()) return -EDEADLK;
        if (owner_id == 0) {
            if (address_has_waiters(word)) kept |= FUTEX_WAITERS;
            if (replace_word(word, seen, own_id() | kept)) return 0;
        } else if ((seen & FUTEX_WAITERS) != 0) {
            return 1;
        } else if (is_private && thread_by_tid(static_cast<pid_t>(owner_id)) == nullptr) {
            return -ESRCH;
        } else if (replace_word(word, seen, seen | FUTEX_WAITERS)) {
            return 1;
        }
    }
}

long lock_inheriting(uint32_t* word, bool is_private, sys::Deadline deadline) {
    for (bool overtaken = false;; overtaken = true) {
        long r = take_inheriting(word, is_private);
        if (r <= 0) return r;
        Wake why = wait_object(word, !is_private, deadline, 0, overtaken);
        if (why == Wake::interrupted) handle_interruption();
        if (why == Wake::timed_out) return waited(-ETIMEDOUT);
    }
}

long unlock_inheriting(const FutexArguments& a) {
    uint32_t seen = __atomic_load_n(a.word, __ATOMIC_SEQ_CST);
    if ((seen & FUTEX_TID_MASK) != own_id()) return -EPERM;
    __atomic_store_n(a.word, 0, __ATOMIC_SEQ_CST);
    wake_address(a.word, 1);
    return 0;
}

sys::Deadline lock_deadline(const FutexArguments& a, int command) {
    bool by_real_time = command == FUTEX_LOCK_PI || (a.operation & FUTEX_CLOCK_REALTIME) != 0;
    return deadline_at(by_real_time ? CLOCK_REALTIME : CLOCK_MONOTONIC, a.timeout);
}

// A condition variable whose mutex is such a word: the woken ones wait for that.
long wait_and_lock_inheriting(FutexArguments a) {
    if (a.word == a.word2) return -EINVAL;
    a.value3 = FUTEX_BITSET_MATCH_ANY;
    long r = futex_wait(a, FUTEX_WAIT_BITSET);
    bool is_private = (a.operation & FUTEX_PRIVATE_FLAG) != 0;
    return r != 0 ? r : lock_inheriting(a.word2, is_private, sys::never);
}

long wake_to_inherit(const FutexArguments& a) {
    if (a.value != 1 || a.word == a.word2) return -EINVAL;
    if (__atomic_load_n(a.word, __ATOMIC_SEQ_CST) != a.value3) return -EAGAIN;
    auto most = static_cast<uint32_t>(reinterpret_cast<uintptr_t>(a.timeout));
    return wake_address(a.word, most == UINT32_MAX ? most : most + 1);
}

long futex_with_inheritance(const FutexArguments& a, int command) {
    bool is_private = (a.operation & FUTEX_PRIVATE_FLAG) != 0;
    switch (command) {
        case FUTEX_LOCK_PI:
        case FUTEX_LOCK_PI2:
            if (a.timeout != nullptr && !valid(a.timeout)) return -EINVAL;
            return lock_inheriting(a.word, is_private, lock_deadline(a, command));
        case FUTEX_TRYLOCK_PI: {
            long r = take_inheriting(a.word, is_private);
            return r == 1 ? -EAGAIN : r;
        }
        case FUTEX_UNLOCK_PI:
            return unlock_inheriting(a);
        case FUTEX_WAIT_REQUEUE_PI:
            return wait_and_lock_inheriting(a);
        case FUTEX_CMP_REQUEUE_PI:
            return wake_to_inherit(a);
        default:
            return -ENOSYS;
    }
}

long futex(const FutexArguments& a) {
    if (reinterpret_cast<uintptr_t>(a.word) % sizeof(uint32_t) != 0) return -EINVAL;
    int command = a.operation & FUTEX_CMD_MASK;
    switch (command) {
        case FUTEX_WAIT:
        case FUTEX_WAIT_BITSET:
            return futex_wait(a, command);
        case FUTEX_WAKE:
            return futex_wake(a, FUTEX_BITSET_MATCH_ANY);
        case FUTEX_WAKE_BITSET:
            return a.value3 == 0 ? -EINVAL : futex_wake(a, a.value3);
        case FUTEX_REQUEUE:
        case FUTEX_CMP_REQUEUE:
            return futex_requeue(a, command == FUTEX_CMP_REQUEUE);
        case FUTEX_WAKE_OP:
            return futex_wake_op(a);
        default:
            return futex_with_inheritance(a, command);
    }
}

// futex_waitv(2): several futexes at once (Linux 5.16).
struct Waited {  // struct futex_waitv
    uint64_t value, address;
    uint32_t flags, reserved;
};
constexpr uint32_t of_32_bits = 2, private_flag = FUTEX_PRIVATE_FLAG;
constexpr unsigned most_waited = 128;

bool sound(const Waited& w) {
    bool known = (w.flags & ~private_flag) == of_32_bits && w.reserved == 0;
    return known && w.value <= UINT32_MAX && w.address % sizeof(uint32_t) == 0;
}

uint32_t* word_of(const Waited& w) { return reinterpret_cast<uint32_t*>(w.address); }

bool changed(const Waited& w) { return __atomic_load_n(word_of(w), __ATOMIC_SEQ_CST) != w.value; }

// As with one futex, those that are not marked private are looked at again and again.
long futex_wait_several(const Waited* list, unsigned count, sys::Deadline deadline) {
    constexpr uint64_t step = 2 * sys::millisecond;
    bool all_private = true;
    for (unsigned i = 0; i < count; ++i) {
        if (changed(list[i])) return -EAGAIN;
        if ((list[i].flags & private_flag) == 0) all_private = false;
    }
    AddressWait waits[most_waited];
    for (;;) {
        for (unsigned i = 0; i < count; ++i) waits[i].address = word_of(list[i]);
        unsigned woken = count;
        auto wait = [&](sys::Deadline until) {
            return wait_addresses(waits, count, until, &woken);
        };
        Wake why = all_private ? wait(deadline) : wait_a_slice(step, deadline, wait);
        if (woken < count) return waited(static_cast<long>(woken));
        if (why == Wake::timed_out) return waited(-ETIMEDOUT);
        bool interrupted = why == Wake::interrupted;
        if (interrupted && interruption_ends_call(deadline == sys::never)) return -EINTR;
        for (unsigned i = 0; i < count; ++i) {
            if (changed(list[i])) return interrupted ? -EAGAIN : static_cast<long>(i);
        }
    }
}

long green_futex_waitv(const long* a) {
    auto* list = word_as<const Waited*>(a[0]);
    auto count = static_cast<unsigned long>(a[1]);
    auto* time = word_as<const timespec*>(a[3]);
    auto clock = static_cast<clockid_t>(a[4]);
    if (a[2] != 0 || list == nullptr || count == 0 || count > most_waited) return -EINVAL;
    if (time != nullptr && (bad_clock(clock) || !valid(time))) return -EINVAL;
    for (unsigned long i = 0; i < count; ++i) {
        if (!sound(list[i])) return -EINVAL;
    }
    return futex_wait_several(list, static_cast<unsigned>(count), deadline_at(clock, time));
}

}  // namespace

namespace green {

long green_futex(const long* a) {
    return futex({word_as<uint32_t*>(a[0]), word_as<int>(a[1]), word_as<uint32_t>(a[2]),
                  word_as<const timespec*>(a[3]), word_as<uint32_t*>(a[4]),
                  word_as<uint32_t>(a[5])});
}

}  // namespace green

namespace {

// Calls a hook with arguments that came as machine words.
template <class Result, class... Parameters, size_t... I>
long call_with(Result (*hook)(Parameters...), const long* a, std::index_sequence<I...>) {
    return static_cast<long>(hook(word_as<Parameters>(a[I])...));
}
template <class Result, class... Parameters>
long call_with(Result (*hook)(Parameters...), const long* a) {
    return call_with(hook, a, std::index_sequence_for<Parameters...>());
}

// The kernel's structure is not libc's.
long green_rt_sigaction(int signal, const sys::SignalAction* act, sys::SignalAction* old) {
    struct sigaction wanted = {}, was = {};
    if (act != nullptr) {
        wanted.sa_handler = act->handler;
        wanted.sa_flags = static_cast<int>(act->flags);
        to_set(act->mask, &wanted.sa_mask);
    }
    int r = hook_sigaction(signal, act == nullptr ? nullptr : &wanted, &was);
    if (r == 0 && old != nullptr) {
        *old = {was.sa_handler, static_cast<unsigned>(was.sa_flags), was.sa_restorer,
                to_mask(&was.sa_mask)};
    }
    return r;
}

// A system call by number that has a hook of its own. False: it has none.
bool by_hook(long number, const long* a, long* r) {
    switch (number) {
#define GREEN_NUMBER(name)              \
    case SYS_##name:                    \
        *r = call_with(hook_##name, a); \
        return true;
        GREEN_NUMBER(read)
        GREEN_NUMBER(write)
        GREEN_NUMBER(readv)
        GREEN_NUMBER(writev)
        GREEN_NUMBER(close)
        GREEN_NUMBER(dup)
        GREEN_NUMBER(dup3)
        GREEN_NUMBER(close_range)
        GREEN_NUMBER(socket)
        GREEN_NUMBER(connect)
        GREEN_NUMBER(accept)
        GREEN_NUMBER(accept4)
        GREEN_NUMBER(recvfrom)
        GREEN_NUMBER(sendto)
        GREEN_NUMBER(recvmsg)
        GREEN_NUMBER(sendmsg)
        GREEN_NUMBER(ppoll)
        GREEN_NUMBER(epoll_ctl)
        GREEN_NUMBER(epoll_pwait)
        GREEN_NUMBER(nanosleep)
        GREEN_NUMBER(sched_yield)
        GREEN_NUMBER(sched_setaffinity)
        GREEN_NUMBER(getcpu)
        GREEN_NUMBER(sched_setscheduler)
        GREEN_NUMBER(sched_getscheduler)
        GREEN_NUMBER(sched_setparam)
        GREEN_NUMBER(sched_getparam)
        GREEN_NUMBER(gettid)
        GREEN_NUMBER(wait4)
        GREEN_NUMBER(tgkill)
        GREEN_NUMBER(kill)
        GREEN_NUMBER(sigaltstack)
        GREEN_NUMBER(flock)
        GREEN_NUMBER(fsync)
        GREEN_NUMBER(fdatasync)
        GREEN_NUMBER(syncfs)
        GREEN_NUMBER(msync)
        GREEN_NUMBER(splice)
        GREEN_NUMBER(tee)
        GREEN_NUMBER(vmsplice)
        GREEN_NUMBER(sendfile)
        GREEN_NUMBER(recvmmsg)
        GREEN_NUMBER(sendmmsg)
        GREEN_NUMBER(semop)
        GREEN_NUMBER(semtimedop)
        GREEN_NUMBER(msgsnd)
        GREEN_NUMBER(msgrcv)
        GREEN_NUMBER(mq_timedsend)
        GREEN_NUMBER(mq_timedreceive)
        GREEN_NUMBER(pread64)
        GREEN_NUMBER(preadv)
        GREEN_NUMBER(epoll_pwait2)
        GREEN_NUMBER(waitid)
#if defined(SYS_poll)  // newer architectures have only their successors
        GREEN_NUMBER(dup2)
        GREEN_NUMBER(poll)
        GREEN_NUMBER(select)
        GREEN_NUMBER(epoll_wait)
        GREEN_NUMBER(pause)
#endif
#undef GREEN_NUMBER
        case SYS_preadv2:  // the kernel's offset comes in two words
            *r = hook_preadv2(word_as<int>(a[0]), word_as<const iovec*>(a[1]), word_as<int>(a[2]),
                              a[3], word_as<int>(a[5]));
            return true;
        case SYS_pwritev2:
            *r = hook_pwritev2(word_as<int>(a[0]), word_as<const iovec*>(a[1]), word_as<int>(a[2]),
                               a[3], word_as<int>(a[5]));
            return true;
        case SYS_pselect6: {  // its last argument points to a mask and its size
            auto* mask = word_as<const sigset_t* const*>(a[5]);
            *r = hook_pselect(word_as<int>(a[0]), word_as<fd_set*>(a[1]), word_as<fd_set*>(a[2]),
                              word_as<fd_set*>(a[3]), word_as<const timespec*>(a[4]),
                              mask == nullptr ? nullptr : *mask);
            return true;
        }
        case SYS_sched_getaffinity:  // whose result is a size, but libc's function returns 0
            *r = result(affinity_of(word_as<pid_t>(a[0]), word_as<size_t>(a[1]),
                                    word_as<cpu_set_t*>(a[2])));
            return true;
        case SYS_sched_setattr:  // glib's thread pools
            *r = result(green_sched_setattr(word_as<pid_t>(a[0]), word_as<const void*>(a[1]),
                                            word_as<unsigned>(a[2])));
            return true;
        case SYS_sched_getattr:
            *r = result(green_sched_getattr(word_as<pid_t>(a[0]), word_as<void*>(a[1]),
                                            word_as<unsigned>(a[2]), word_as<unsigned>(a[3])));
            return true;
        case SYS_setpriority:
            *r = result(
                green_setpriority(word_as<int>(a[0]), word_as<id_t>(a[1]), word_as<int>(a[2])));
            return true;
        case SYS_getpriority:  // what libc's function makes of it is another number
            *r = result(green_getpriority(word_as<int>(a[0]), word_as<id_t>(a[1])));
            return true;
        case SYS_exit:
            exit_thread_bare(word_as<int>(a[0]));
        case SYS_signalfd4:  // between whose mask and flags is the mask's size
            *r = hook_signalfd(word_as<int>(a[0]), word_as<const sigset_t*>(a[1]),
                               word_as<int>(a[3]));
            return true;
        case SYS_rt_sigprocmask: {  // the kernel's sets are smaller than libc's
            sigset_t set = {}, old = {};
            size_t size = word_as<size_t>(a[3]);
            if (size != sizeof(uint64_t)) return false;
            if (a[1] != 0) memcpy(&set, word_as<const void*>(a[1]), size);
            int error = hook_pthread_sigmask(static_cast<int>(a[0]), a[1] == 0 ? nullptr : &set,
                                             a[2] == 0 ? nullptr : &old);
            if (error == 0 && a[2] != 0) memcpy(word_as<void*>(a[2]), &old, size);
            *r = result(-error);
            return true;
        }
        case SYS_rt_sigaction:
            if (word_as<size_t>(a[3]) != sizeof(uint64_t)) return false;
            *r = green_rt_sigaction(word_as<int>(a[0]), word_as<const sys::SignalAction*>(a[1]),
                                    word_as<sys::SignalAction*>(a[2]));
            return true;
        case SYS_rt_sigpending: {
            sigset_t set;
            size_t size = word_as<size_t>(a[1]);
            if (size > sizeof(uint64_t)) return false;
            *r = hook_sigpending(&set);
            memcpy(word_as<void*>(a[0]), &set, size);
            return true;
        }
        case SYS_rt_tgsigqueueinfo: {
            Thread* t = thread_by_tid(word_as<pid_t>(a[1]));
            if (t == nullptr || a[0] != sys::invoke(SYS_getpid)) return false;
            siginfo_t info = *word_as<const siginfo_t*>(a[3]);
            info.si_signo = word_as<int>(a[2]);
            *r = result(-signal_thread(t, info));
            return true;
        }
        case SYS_timer_create: {  // a timer for one thread signals the process
            auto* event = word_as<const sigevent*>(a[1]);
            if (event == nullptr || event->sigev_notify != SIGEV_THREAD_ID) return false;
            sigevent copy = *event;
            long named = to_kernel_tid(copy._sigev_un._tid);
            copy._sigev_un._tid = static_cast<pid_t>(named == 0 ? sys::invoke(SYS_gettid) : named);
            *r = result(sys::invoke(SYS_timer_create, a[0], &copy, a[2]));
            return true;
        }
        case SYS_prctl:
            *r = hook_prctl(word_as<int>(a[0]), a[1], a[2], a[3], a[4]);
            return true;
        case SYS_rt_sigsuspend:
            *r = call_with(hook_sigsuspend, a);
            return true;
        case SYS_rt_sigtimedwait:
            *r = call_with(hook_sigtimedwait, a);
            return true;
        case SYS_tkill:
            if (thread_by_tid(word_as<pid_t>(a[0])) == nullptr) return false;  // another process's
            *r = hook_tgkill(static_cast<pid_t>(sys::invoke(SYS_getpid)), word_as<pid_t>(a[0]),
                             word_as<int>(a[1]));
            return true;
        case SYS_set_tid_address:  // the kernel thread's, whose id it returns
            sys::invoke(number, a[0]);
            *r = self->tid;
            return true;
        case SYS_fcntl:
            *r = hook_fcntl(static_cast<int>(a[0]), static_cast<int>(a[1]), a[2]);
            return true;
        case SYS_clock_nanosleep: {  // libc's function returns the error
            int error = call_with(hook_clock_nanosleep, a);
            *r = result(-error);
            return true;
        }
        case SYS_futex:
            *r = result(green_futex(a));
            return true;
#if defined(SYS_futex_waitv)
        case SYS_futex_waitv:
            *r = result(green_futex_waitv(a));
            return true;
#endif
        case SYS_io_uring_enter:
            *r = result(green_uring_enter(a));
            return true;
        case SYS_io_getevents:
            *r = result(green_io_getevents(a));
            return true;
        case SYS_io_pgetevents:
            *r = result(green_io_pgetevents(a));
            return true;
        default:
            return false;
    }
}

// Calls by number that name a thread and have no hook, or a hook that does nothing else.
void to_kernel_tids(long number, long* a) {
    switch (number) {
        case SYS_sched_setaffinity:
        case SYS_sched_getaffinity:
        case SYS_sched_rr_get_interval:
        case SYS_prlimit64:
        case SYS_get_robust_list:
            a[0] = to_kernel_tid(a[0]);
            break;
        case SYS_ioprio_set:
        case SYS_ioprio_get:
            a[1] = to_kernel_tid(a[1]);
            break;
        default:
            break;
    }
}

// A futex(2) by a kernel thread that is not ours.
void outsider_futex(const long* a) {
    outsiders_wait = true;
    int command = word_as<int>(a[1]) & FUTEX_CMD_MASK;
    bool wakes = command != FUTEX_WAIT && command != FUTEX_WAIT_BITSET;
    if (wakes) wake_from_outside(word_as<const void*>(a[0]));
    if (wakes && command != FUTEX_WAKE && command != FUTEX_WAKE_BITSET) {
        wake_from_outside(word_as<const void*>(a[4]));
    }
}

// Whether a call makes a process with memory of its own (clone(2)).
bool forks(long number, const long* a) {
    switch (number) {
#if defined(SYS_fork)
        case SYS_fork:
            return true;
#endif
        case SYS_clone:
            return (a[0] & CLONE_VM) == 0;
        case SYS_clone3:  // the flags are the first field of its block
            return (*word_as<const uint64_t*>(a[0]) & CLONE_VM) == 0;
        default:
            return false;
    }
}

// Whether a call leaves the caller fewer calls (seccomp(2)).
bool restricts(long number, const long* a) {
    return number == SYS_seccomp
               ? a[0] == SECCOMP_SET_MODE_STRICT || a[0] == SECCOMP_SET_MODE_FILTER
               : number == SYS_prctl && a[0] == PR_SET_SECCOMP;
}

bool shares_descriptors(long number, const long* a) {
    uint64_t flags = number == SYS_clone    ? static_cast<uint64_t>(a[0])
                     : number == SYS_clone3 ? *word_as<const uint64_t*>(a[0])
                                            : 0;
    return (flags & CLONE_FILES) != 0;
}

}  // namespace

HOOK(long, syscall, (long number, ...), interposed) {
    long a[6];
    va_list list;
    va_start(list, number);
    for (long& value : a) value = va_arg(list, long);
    va_end(list);
    long r;
    {  // who waits in an std::atomic or a semaphore of C++ cannot be unwound
        NotCancelled scope;
        if (self != nullptr && by_hook(number, a, &r)) return r;
    }
    if (number == SYS_futex && self == nullptr && scheduler_active) outsider_futex(a);
    if (self != nullptr) to_kernel_tids(number, a);
    if (number == SYS_ptrace) note_ptrace(a[0]);
    r = renewing_by_number(number, sys::call(number, a[0], a[1], a[2], a[3], a[4], a[5]));
    if (r >= 0 && forks(number, a)) {
        fd_forked();
        if (r == 0 && self != nullptr) child_after_clone(shares_descriptors(number, a));
    }
    if (r >= 0 && restricts(number, a)) sandboxed = true;
    if (number == SYS_io_uring_setup && r >= 0) {
        green_uring_made(static_cast<int>(r),
                         reinterpret_cast<const io_uring_params*>(a[1])->flags);
    }
    if (signals_arrived) handle_what_came();  // perhaps it was the call that sent it
    return result(r);
}
