// syscall(2): what programs and libraries do behind libc's back.
//
// libstdc++ (std::atomic::wait, semaphores, latches), glib and others wait on futexes with
// syscall(); these park like everything else (futex(2)). Others use it for calls that have hooks;
// those are sent there. All else is the plain system call.

#include <linux/futex.h>
#include <stdarg.h>
#include <sys/socket.h>

#include <utility>

#include "hooks/hooks.h"
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

long futex_wait(const FutexArguments& a, int command) {
    if (a.timeout != nullptr && !valid(a.timeout)) return -EINVAL;
    uint32_t bits = command == FUTEX_WAIT_BITSET ? a.value3 : FUTEX_BITSET_MATCH_ANY;
    if (bits == 0) return -EINVAL;
    sys::Deadline deadline = futex_deadline(a, command);
    // Not marked private: another process may be the one that wakes. The kernel's queue and ours
    // cannot both be waited on, so the word is looked at again and again.
    bool is_private = (a.operation & FUTEX_PRIVATE_FLAG) != 0;
    constexpr uint64_t step = 2 * sys::millisecond;
    if (__atomic_load_n(a.word, __ATOMIC_SEQ_CST) != a.value) return -EAGAIN;
    for (;;) {
        sys::Deadline again = is_private ? sys::never : sys::after(step);
        Wake why = wait_address(a.word, again < deadline ? again : deadline, bits);
        if (why == Wake::ready) return 0;
        if (why == Wake::interrupted && interruption_ends_call(deadline == sys::never)) {
            return -EINTR;
        }
        if (why == Wake::timed_out) {
            if (deadline <= again) return -ETIMEDOUT;
            if (__atomic_load_n(a.word, __ATOMIC_SEQ_CST) != a.value) return 0;
        }
    }
}

long futex_wake(const FutexArguments& a, uint32_t bits) {
    long woken = wake_address_tagged(a.word, a.value, bits);
    if ((a.operation & FUTEX_PRIVATE_FLAG) != 0 || woken >= static_cast<long>(a.value))
        return woken;
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

long green_futex(const FutexArguments& a) {
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
        default:  // priority inheritance: the kernel's own, counted
            count_native("futex");
            return sys::invoke(SYS_futex, a.word, a.operation, a.value, a.timeout, a.word2,
                               a.value3);
    }
}

// Calls a hook with arguments that came as machine words.
template <class Result, class... Parameters, size_t... I>
long call_with(Result (*hook)(Parameters...), const long* a, std::index_sequence<I...>) {
    return static_cast<long>(hook(word_as<Parameters>(a[I])...));
}
template <class Result, class... Parameters>
long call_with(Result (*hook)(Parameters...), const long* a) {
    return call_with(hook, a, std::index_sequence_for<Parameters...>());
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
        GREEN_NUMBER(epoll_pwait)
        GREEN_NUMBER(nanosleep)
        GREEN_NUMBER(sched_yield)
        GREEN_NUMBER(gettid)
        GREEN_NUMBER(wait4)
        GREEN_NUMBER(tgkill)
        GREEN_NUMBER(flock)
        GREEN_NUMBER(fsync)
        GREEN_NUMBER(epoll_pwait2)
        GREEN_NUMBER(waitid)
#if defined(SYS_poll)  // newer architectures have only their successors
        GREEN_NUMBER(dup2)
        GREEN_NUMBER(poll)
        GREEN_NUMBER(select)
        GREEN_NUMBER(epoll_wait)
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
        case SYS_tkill:
            *r = hook_tgkill(static_cast<pid_t>(sys::invoke(SYS_getpid)), word_as<pid_t>(a[0]),
                             word_as<int>(a[1]));
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
            *r = result(green_futex({word_as<uint32_t*>(a[0]), word_as<int>(a[1]),
                                     word_as<uint32_t>(a[2]), word_as<const timespec*>(a[3]),
                                     word_as<uint32_t*>(a[4]), word_as<uint32_t>(a[5])}));
            return true;
        default:
            return false;
    }
}

}  // namespace

HOOK(long, syscall, (long number, ...), interposed) {
    long a[6];
    va_list list;
    va_start(list, number);
    for (long& value : a) value = va_arg(list, long);
    va_end(list);
    long r;
    if (self != nullptr && by_hook(number, a, &r)) return r;
    return result(sys::call(number, a[0], a[1], a[2], a[3], a[4], a[5]));
}
