// Mutexes and spin locks (pthread_mutex_lock(3p), C11's mtx_t).
//
// glibc's own trylock and unlock do all the work: with a real tid in a real thread block they know
// recursion, error checking, robustness and priorities. Only the waiting is ours: when trylock says
// EBUSY the thread parks on the mutex's address, and whoever unlocks wakes one. A mutex that other
// processes share cannot be waited for in a private queue: it is asked again after ever longer
// sleeps, because no other process will tell us.

#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <threads.h>

#include "hooks/mutex.h"
#include "hooks/signal.h"
#include "hooks/wait.h"
#include "runtime/late_modules.h"

using namespace green;

ORIGINAL(int, pthread_mutex_lock, (pthread_mutex_t*), nullptr)
ORIGINAL(int, pthread_mutex_trylock, (pthread_mutex_t*), nullptr)
ORIGINAL(int, pthread_mutex_clocklock, (pthread_mutex_t*, clockid_t, const timespec*), nullptr)
ORIGINAL(int, pthread_mutex_unlock, (pthread_mutex_t*), nullptr)
ORIGINAL(int, pthread_spin_trylock, (pthread_spinlock_t*), nullptr)

namespace {

// glibc's encoding of pthread_mutex_t.__data.__kind (ABI: static initialisers fix it).
constexpr int kind_mask = 3;
constexpr int kind_shared = 128;

bool shared_with_processes(const pthread_mutex_t* m) {
    return (m->__data.__kind & kind_shared) != 0;
}

bool owned_by_caller(const pthread_mutex_t* m) {
    long tid = self != nullptr ? self->tid : sys::invoke(SYS_gettid);
    return m->__data.__owner == tid;
}

// A robust mutex that processes share is released by the kernel when its owner's process dies, if
// it is in the one list that the kernel knows, with the one thread id. So these are locked as by
// the first thread, and only __owner, which glibc does not ask of them, says which green thread it
// is. Where it says "inconsistent" instead, that is whoever comes.
constexpr int robust = 16, inheriting = 32;
constexpr int inconsistent = INT_MAX, not_recoverable = INT_MAX - 1;

bool kernel_releases(const pthread_mutex_t* m) {
    constexpr int mask = robust | inheriting | kind_shared;
    return self != nullptr && (m->__data.__kind & mask) == (robust | kind_shared);
}

pid_t kernels_tid() { return thread_of_process()->tid; }

bool locked_by_process(const pthread_mutex_t* m) {
    constexpr int id_bits = 0x3fffffff;
    return (m->__data.__lock & id_bits) == kernels_tid();
}

bool locked_by_another(const pthread_mutex_t* m) {
    int owner_id = m->__data.__owner;
    return locked_by_process(m) && owner_id != self->tid && owner_id != inconsistent;
}

template <class Call>
int as_first_thread(Call call) {
    pid_t* tid = thread_block_tid(self->block);
    *tid = kernels_tid();
    int error = call();
    *tid = self->tid;
    return error;
}

int try_lock_for_kernel(pthread_mutex_t* m) {
    if (locked_by_another(m)) return EBUSY;
    bool again = locked_by_process(m);
    int error = as_first_thread([m] { return original_pthread_mutex_trylock()(m); });
    if (again || (error != 0 && error != EOWNERDEAD)) return error;
    if (error == 0) m->__data.__owner = self->tid;
    thread_block_robust_to_first(&m->__data.__list.__next);
    return error;
}

int unlock_original(pthread_mutex_t* m) {
    if (!kernel_releases(m)) return original_pthread_mutex_unlock()(m);
    if (!locked_by_process(m) || locked_by_another(m)) return EPERM;
    // Of a recursive one glibc asks __owner after all; it is locked still where others are to go.
    int& owner_id = m->__data.__owner;
    bool named = owner_id == self->tid;
    if (named) owner_id = kernels_tid();
    int error = as_first_thread([m] { return original_pthread_mutex_unlock()(m); });
    if (named && owner_id == kernels_tid()) owner_id = self->tid;
    return error;
}

// glibc's trylock, with one of its leaks mended: it leaves a robust mutex locked that it finds
// beyond recovery. And a priority-inheriting one whose owner died it asks of the kernel, which
// writes the only thread id it knows.
int try_lock(pthread_mutex_t* m) {
    if ((m->__data.__kind & robust) != 0 && m->__data.__owner == not_recoverable) {
        return ENOTRECOVERABLE;
    }
    if (kernel_releases(m)) return try_lock_for_kernel(m);
    int error = original_pthread_mutex_trylock()(m);
    if (error == EOWNERDEAD && (m->__data.__kind & inheriting) != 0 && self != nullptr) {
        constexpr int id_bits = 0x3fffffff;
        m->__data.__lock = (m->__data.__lock & ~id_bits) | self->tid;
    }
    return error;
}

// A second lock by the owner: EDEADLK for the kinds that check, else a wait without end, as
// natively.
bool would_deadlock(const pthread_mutex_t* m) {
    return (m->__data.__kind & kind_mask) == PTHREAD_MUTEX_ERRORCHECK && owned_by_caller(m);
}

// An ordinary mutex of one process, the most frequent kind, is locked and unlocked as glibc does
// it, without its two calls: these made it a sixth slower than natively. The lock word says whether
// anybody waits: nearly always nobody does, and then there is no queue to look for.
enum Word : int { unlocked, locked, kernel_threads_wait, green_threads_wait };

bool is_ordinary(const pthread_mutex_t* m) { return m->__data.__kind == PTHREAD_MUTEX_TIMED_NP; }

bool change(pthread_mutex_t* m, int from, int to) {
    return __atomic_compare_exchange_n(&m->__data.__lock, &from, to, false, __ATOMIC_ACQUIRE,
                                       __ATOMIC_RELAXED);
}

inline bool lock_ordinary(pthread_mutex_t* m) {
    if (!is_ordinary(m) || !change(m, unlocked, locked)) return false;
    m->__data.__owner = self->tid;
    ++m->__data.__nusers;
    return true;
}

inline void unlock_ordinary(pthread_mutex_t* m) {
    m->__data.__owner = 0;
    --m->__data.__nusers;
    int word = __atomic_exchange_n(&m->__data.__lock, unlocked, __ATOMIC_RELEASE);
    if (__builtin_expect(word == locked, 1)) return;
    if (word == kernel_threads_wait) {  // and perhaps green ones
        sys::invoke(SYS_futex, &m->__data.__lock, FUTEX_WAKE_PRIVATE, 1);
    }
    wake_address(m, 1);
}

// Its owner is to wake somebody.
void note_waiter(pthread_mutex_t* m) {
    if (is_ordinary(m)) change(m, locked, green_threads_wait);
}

int lock_slowly(pthread_mutex_t* m, sys::Deadline deadline) {
    if (would_deadlock(m)) return EDEADLK;
    uint64_t nap = 50'000;
    for (bool overtaken = false;; overtaken = true) {
        Wake why;
        if (shared_with_processes(m)) {
            why = wait_a_slice(nap, deadline,
                               [](sys::Deadline until) { return park(Park::address, until); });
            if (nap < 10 * sys::millisecond) nap *= 2;
        } else {
            note_waiter(m);
            why = wait_address(m, deadline, 0, overtaken);
        }
        if (why == Wake::interrupted) handle_interruption();
        int error = try_lock(m);
        if (error == 0 && address_has_waiters(m)) note_waiter(m);
        if (error != EBUSY) return waited(error);
        if (why == Wake::timed_out) return waited(ETIMEDOUT);
    }
}

int green_lock(pthread_mutex_t* m) {
    int error = try_lock(m);
    if (__builtin_expect(error != EBUSY, 1)) return error;
    return lock_slowly(m, sys::never);
}

int green_clocklock(pthread_mutex_t* m, clockid_t clock, const timespec* time) {
    int error = try_lock(m);
    if (error != EBUSY) return error;
    if (would_deadlock(m)) return EDEADLK;
    // A priority-inheriting one is the kernel's to wait for, which takes no time before 1970.
    bool refused = (m->__data.__kind & inheriting) != 0 && time->tv_sec < 0;
    if (bad_nanoseconds(time) || refused) return EINVAL;
    return lock_slowly(m, deadline_at(clock, time));
}

}  // namespace

namespace green {

int lock_mutex(pthread_mutex_t* m) { return lock_ordinary(m) ? 0 : green_lock(m); }

int unlock_mutex(pthread_mutex_t* m) {
    if (self != nullptr && is_ordinary(m)) {
        unlock_ordinary(m);
        return 0;
    }
    int error = unlock_original(m);
    if (error == 0) wake_waiters(m, 1);
    return error;
}

}  // namespace green

// Out of line, so that the hooks themselves need no frame.
__attribute__((noinline)) static int lock_otherwise(pthread_mutex_t* m) {
    if (preempt_due) preempt_now();
    return lock_mutex(m);
}

// A loop of locks may have the program's own code, where a tick would find it, only between a lock
// and its unlock, and the others would then wait for just that one: it gives way here.
HOOK(int, pthread_mutex_lock, (pthread_mutex_t * m), interposed) {
    if (self == nullptr) return original_pthread_mutex_lock()(m);
    return __builtin_expect(!preempt_due && lock_ordinary(m), 1) ? 0 : lock_otherwise(m);
}
HOOK_ALIAS(__pthread_mutex_lock, pthread_mutex_lock, interposed)

// The mutexes inside ld.so and libc (dlopen's, atexit's): locked and unlocked without a symbol.
// Their unlock cannot tell us, so whoever finds one taken asks again every few milliseconds.
extern "C" __attribute__((visibility("hidden"))) int green_lock_inner(pthread_mutex_t* m) {
    for (;;) {
        int error = original_pthread_mutex_trylock()(m);
        if (error == 0 && self != nullptr) late_modules_note_lock(m);
        if (error != EBUSY) return error;
        if (would_deadlock(m)) return EDEADLK;
        constexpr uint64_t step = 2 * sys::millisecond;
        if (self != nullptr) {
            if (wait_address(m, sys::after(step)) == Wake::interrupted) run_due_signals(true);
        } else {  // dormant again, in the child of a fork
            timespec t = sys::to_timespec(step);
            sys::invoke(SYS_nanosleep, &t, nullptr);
        }
    }
}
GREEN_INNER_ROW(pthread_mutex_lock, green_lock_inner)

HOOK(int, pthread_mutex_unlock, (pthread_mutex_t * m), interposed) {
    if (self == nullptr && !scheduler_active) return original_pthread_mutex_unlock()(m);
    if (self == nullptr || !is_ordinary(m)) return unlock_mutex(m);
    unlock_ordinary(m);
    return 0;
}
HOOK_ALIAS(__pthread_mutex_unlock, pthread_mutex_unlock, interposed)

// A loop around trylock is a busy wait: now and then the others must run.
HOOK(int, pthread_mutex_trylock, (pthread_mutex_t * m), interposed) {
    int error = try_lock(m);
    if (error == EBUSY && self != nullptr) yield();
    return error;
}
HOOK_ALIAS(__pthread_mutex_trylock, pthread_mutex_trylock, interposed)

HOOK(int, pthread_mutex_clocklock, (pthread_mutex_t * m, clockid_t clock, const timespec* time),
     interposed) {
    if (self == nullptr) return original_pthread_mutex_clocklock()(m, clock, time);
    if (bad_clock(clock)) return EINVAL;
    return green_clocklock(m, clock, time);
}

HOOK(int, pthread_mutex_timedlock, (pthread_mutex_t * m, const timespec* time), interposed) {
    return hook_pthread_mutex_clocklock(m, CLOCK_REALTIME, time);
}

HOOK(int, pthread_spin_lock, (pthread_spinlock_t * lock), interposed) {
    while (original_pthread_spin_trylock()(lock) != 0) {
        if (self == nullptr) continue;
        handle_interruption();
        yield();
    }
    return 0;
}

HOOK(int, mtx_lock, (mtx_t * m), interposed) {
    return hook_pthread_mutex_lock(reinterpret_cast<pthread_mutex_t*>(m)) == 0 ? thrd_success
                                                                               : thrd_error;
}

HOOK(int, mtx_timedlock, (mtx_t * m, const timespec* time), interposed) {
    int error = hook_pthread_mutex_timedlock(reinterpret_cast<pthread_mutex_t*>(m), time);
    return error == 0 ? thrd_success : error == ETIMEDOUT ? thrd_timedout : thrd_error;
}

HOOK(int, mtx_trylock, (mtx_t * m), interposed) {
    int error = hook_pthread_mutex_trylock(reinterpret_cast<pthread_mutex_t*>(m));
    return error == 0 ? thrd_success : error == EBUSY ? thrd_busy : thrd_error;
}

HOOK(int, mtx_unlock, (mtx_t * m), interposed) {
    return hook_pthread_mutex_unlock(reinterpret_cast<pthread_mutex_t*>(m)) == 0 ? thrd_success
                                                                                 : thrd_error;
}
