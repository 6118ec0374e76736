// Read-write locks (pthread_rwlock_rdlock(3p)).
//
// glibc's own try functions and unlock keep the state; a thread that must wait parks on the lock's
// address, tagged as reader or writer. Unlock wakes all, who try again in order: with one kernel
// thread a lost race costs a switch. glibc cannot see our parked writers, so its preference for
// writers (PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP) is applied here: a reader does not even
// try while a writer waits.

#include <pthread.h>

#include "hooks/signal.h"
#include "hooks/wait.h"

using namespace green;

ORIGINAL(int, pthread_rwlock_rdlock, (pthread_rwlock_t*), nullptr)
ORIGINAL(int, pthread_rwlock_wrlock, (pthread_rwlock_t*), nullptr)
ORIGINAL(int, pthread_rwlock_tryrdlock, (pthread_rwlock_t*), nullptr)
ORIGINAL(int, pthread_rwlock_trywrlock, (pthread_rwlock_t*), nullptr)
ORIGINAL(int, pthread_rwlock_clockrdlock, (pthread_rwlock_t*, clockid_t, const timespec*), nullptr)
ORIGINAL(int, pthread_rwlock_clockwrlock, (pthread_rwlock_t*, clockid_t, const timespec*), nullptr)
ORIGINAL(int, pthread_rwlock_unlock, (pthread_rwlock_t*), nullptr)

namespace {

constexpr uint32_t reader = 1, writer = 2;

// glibc keeps a writer's tid in __cur_writer; one who holds the lock must not wait for it.
bool writing(const pthread_rwlock_t* l) { return l->__data.__cur_writer == self->tid; }

bool must_let_writer_go_first(const pthread_rwlock_t* l) {
    return l->__data.__flags == PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP &&
           address_has_waiters(l, writer);
}

int try_once(pthread_rwlock_t* l, uint32_t as) {
    return as == writer ? original_pthread_rwlock_trywrlock()(l)
                        : original_pthread_rwlock_tryrdlock()(l);
}

int lock(pthread_rwlock_t* l, uint32_t as, sys::Deadline deadline) {
    bool wait_first = as == reader && must_let_writer_go_first(l);
    int error = wait_first ? EBUSY : try_once(l, as);
    if (error != EBUSY) return error;
    if (writing(l)) return EDEADLK;
    bool shared = l->__data.__shared != 0;
    for (bool overtaken = false;; overtaken = true) {
        Wake why = wait_object(l, shared, deadline, as, overtaken);
        if (why == Wake::interrupted) handle_interruption();
        error = try_once(l, as);
        if (error != EBUSY) return waited(error);
        if (why == Wake::timed_out) {
            // Readers that let this writer go first need not wait any longer.
            if (as == writer) wake_address(l, UINT32_MAX);
            return waited(ETIMEDOUT);
        }
    }
}

int clock_lock(pthread_rwlock_t* l, uint32_t as, clockid_t clock, const timespec* time) {
    if (bad_clock(clock) || bad_nanoseconds(time)) return EINVAL;
    return lock(l, as, deadline_at(clock, time));
}

}  // namespace

HOOK(int, pthread_rwlock_rdlock, (pthread_rwlock_t * l), interposed) {
    if (self == nullptr) return original_pthread_rwlock_rdlock()(l);
    return lock(l, reader, sys::never);
}
HOOK_ALIAS(__pthread_rwlock_rdlock, pthread_rwlock_rdlock, interposed)

HOOK(int, pthread_rwlock_wrlock, (pthread_rwlock_t * l), interposed) {
    if (self == nullptr) return original_pthread_rwlock_wrlock()(l);
    return lock(l, writer, sys::never);
}
HOOK_ALIAS(__pthread_rwlock_wrlock, pthread_rwlock_wrlock, interposed)

HOOK(int, pthread_rwlock_tryrdlock, (pthread_rwlock_t * l), interposed) {
    if (self != nullptr && must_let_writer_go_first(l)) return EBUSY;
    int error = original_pthread_rwlock_tryrdlock()(l);
    if (error == EBUSY && self != nullptr) yield();
    return error;
}

HOOK(int, pthread_rwlock_trywrlock, (pthread_rwlock_t * l), interposed) {
    int error = original_pthread_rwlock_trywrlock()(l);
    if (error == EBUSY && self != nullptr) yield();
    return error;
}

HOOK(int, pthread_rwlock_clockrdlock, (pthread_rwlock_t * l, clockid_t clock, const timespec* time),
     interposed) {
    if (self == nullptr) return original_pthread_rwlock_clockrdlock()(l, clock, time);
    return clock_lock(l, reader, clock, time);
}

HOOK(int, pthread_rwlock_clockwrlock, (pthread_rwlock_t * l, clockid_t clock, const timespec* time),
     interposed) {
    if (self == nullptr) return original_pthread_rwlock_clockwrlock()(l, clock, time);
    return clock_lock(l, writer, clock, time);
}

HOOK(int, pthread_rwlock_timedrdlock, (pthread_rwlock_t * l, const timespec* time), interposed) {
    return hook_pthread_rwlock_clockrdlock(l, CLOCK_REALTIME, time);
}

HOOK(int, pthread_rwlock_timedwrlock, (pthread_rwlock_t * l, const timespec* time), interposed) {
    return hook_pthread_rwlock_clockwrlock(l, CLOCK_REALTIME, time);
}

HOOK(int, pthread_rwlock_unlock, (pthread_rwlock_t * l), interposed) {
    int error = original_pthread_rwlock_unlock()(l);
    if (error == 0) wake_waiters(l, UINT32_MAX);
    return error;
}
HOOK_ALIAS(__pthread_rwlock_unlock, pthread_rwlock_unlock, interposed)

// libc's own, as in mutex.cpp: a locale is loaded under one, and loading may park. libc's unlock is
// not seen, so waiters look again. Also entered in the child of a fork, dormant again.
namespace {

int lock_inner(pthread_rwlock_t* l, uint32_t as) {
    constexpr uint64_t step = sys::millisecond;
    for (;;) {
        int error = try_once(l, as);
        if (error != EBUSY) return error;
        if (self != nullptr && writing(l)) return EDEADLK;
        if (self != nullptr) {
            if (wait_address(l, sys::after(step), as) == Wake::interrupted) run_due_signals(true);
        } else {
            timespec t = sys::to_timespec(step);
            sys::invoke(SYS_nanosleep, &t, nullptr);
        }
    }
}

}  // namespace

extern "C" __attribute__((visibility("hidden"))) int green_rdlock_inner(pthread_rwlock_t* l) {
    return lock_inner(l, reader);
}
extern "C" __attribute__((visibility("hidden"))) int green_wrlock_inner(pthread_rwlock_t* l) {
    return lock_inner(l, writer);
}
GREEN_INNER_ROW(pthread_rwlock_rdlock, green_rdlock_inner)
GREEN_INNER_ROW(pthread_rwlock_wrlock, green_wrlock_inner)
