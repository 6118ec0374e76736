// Condition variables (pthread_cond_wait(3p), C11's cnd_t).
//
// A private one is nothing but its address: waiters park on it, signal wakes one, broadcast all;
// the object itself is not written to, so glibc's initialisers and destroy need no hook. Between
// the unlock of the mutex and the park no other thread runs, so no signal can be lost.
//
// One that processes share cannot be that: waiters sleep in growing steps and return as spurious
// wake-ups, which POSIX allows and every correct caller expects; signal and broadcast tell libc's
// own function too, for waiters in native processes, and for kernel threads that are not ours.

#include <pthread.h>
#include <threads.h>

#include "hooks/mutex.h"
#include "hooks/signal.h"
#include "hooks/wait.h"

using namespace green;

ORIGINAL(int, pthread_cond_wait, (pthread_cond_t*, pthread_mutex_t*), "GLIBC_2.3.2")
ORIGINAL(int, pthread_cond_timedwait, (pthread_cond_t*, pthread_mutex_t*, const timespec*),
         "GLIBC_2.3.2")
ORIGINAL(int, pthread_cond_clockwait,
         (pthread_cond_t*, pthread_mutex_t*, clockid_t, const timespec*), nullptr)
ORIGINAL(int, pthread_cond_signal, (pthread_cond_t*), "GLIBC_2.3.2")
ORIGINAL(int, pthread_cond_broadcast, (pthread_cond_t*), "GLIBC_2.3.2")

namespace {

// glibc's pthread_cond_t.__data.__wrefs: bit 0 process-shared, bit 1 CLOCK_MONOTONIC.
constexpr unsigned cond_shared = 1, cond_monotonic = 2;

bool shared_with_processes(const pthread_cond_t* c) {
    return (c->__data.__wrefs & cond_shared) != 0;
}
clockid_t clock_of(const pthread_cond_t* c) {
    return (c->__data.__wrefs & cond_monotonic) != 0 ? CLOCK_MONOTONIC : CLOCK_REALTIME;
}

// Whether a waiter may be one that libc knows of.
bool tell_libc(const pthread_cond_t* c) {
    return self == nullptr || outsiders_wait || shared_with_processes(c);
}

// How often somebody called signal or broadcast.
unsigned times_signalled = 0;

// The mutex is locked again however the wait ends, also by cancellation's unwinding. Meanwhile it
// counts one user more, by which pthread_mutex_destroy(3p) knows that it is needed.
class Unlocked {
  public:
    explicit Unlocked(pthread_mutex_t* m) : mutex_(m) {
        ++m->__data.__nusers;
        error = unlock_mutex(m);
        if (error != 0) --m->__data.__nusers;
    }
    ~Unlocked() {
        if (error == 0) {
            lock_result = lock_mutex(mutex_);
            if (lock_result == 0 || lock_result == EOWNERDEAD) --mutex_->__data.__nusers;
        }
        if (out_ != nullptr) *out_ = lock_result;
    }
    Unlocked(const Unlocked&) = delete;
    Unlocked& operator=(const Unlocked&) = delete;
    void report_to(int* out) { out_ = out; }

  private:
    pthread_mutex_t* mutex_;
    int* out_ = nullptr;
    int lock_result = 0;

  public:
    int error;
};

int wait_unlocked(pthread_cond_t* c, sys::Deadline deadline) {
    for (bool again = false;; again = true) {
        Wake why = wait_object(c, shared_with_processes(c), deadline, 0, again);
        if (why != Wake::interrupted) return why == Wake::timed_out ? ETIMEDOUT : 0;
        // This thread does not wait while its signal handler runs: if anybody was signalled then,
        // it may have been meant, and takes it for a spurious wake-up.
        unsigned before = times_signalled;
        interruption_ends_call(true);
        if (times_signalled != before) return 0;
    }
}

int green_wait(pthread_cond_t* c, pthread_mutex_t* m, sys::Deadline deadline) {
    int relock_error = 0, wait_result = 0;
    cancellation_point();
    {
        Unlocked scope(m);
        if (scope.error != 0) return scope.error;
        scope.report_to(&relock_error);
        wait_result = wait_unlocked(c, deadline);
    }
    return waited(relock_error != 0 ? relock_error : wait_result);
}

}  // namespace

HOOK(int, pthread_cond_wait, (pthread_cond_t * c, pthread_mutex_t* m), interposed) {
    if (self == nullptr) {
        note_outsider();
        return original_pthread_cond_wait()(c, m);
    }
    return green_wait(c, m, sys::never);
}

HOOK(int, pthread_cond_timedwait, (pthread_cond_t * c, pthread_mutex_t* m, const timespec* time),
     interposed) {
    if (self == nullptr) {
        note_outsider();
        return original_pthread_cond_timedwait()(c, m, time);
    }
    if (bad_nanoseconds(time)) return EINVAL;
    return green_wait(c, m, deadline_at(clock_of(c), time));
}

HOOK(int, pthread_cond_clockwait,
     (pthread_cond_t * c, pthread_mutex_t* m, clockid_t clock, const timespec* time), interposed) {
    if (self == nullptr) {
        note_outsider();
        return original_pthread_cond_clockwait()(c, m, clock, time);
    }
    if (bad_nanoseconds(time) || bad_clock(clock)) return EINVAL;
    return green_wait(c, m, deadline_at(clock, time));
}

HOOK(int, pthread_cond_signal, (pthread_cond_t * c), interposed) {
    ++times_signalled;
    wake_waiters(c, 1);
    return tell_libc(c) ? original_pthread_cond_signal()(c) : 0;
}

HOOK(int, pthread_cond_broadcast, (pthread_cond_t * c), interposed) {
    ++times_signalled;
    wake_waiters(c, UINT32_MAX);
    return tell_libc(c) ? original_pthread_cond_broadcast()(c) : 0;
}

HOOK(int, cnd_wait, (cnd_t * c, mtx_t* m), interposed) {
    return hook_pthread_cond_wait(reinterpret_cast<pthread_cond_t*>(c),
                                  reinterpret_cast<pthread_mutex_t*>(m)) == 0
               ? thrd_success
               : thrd_error;
}

HOOK(int, cnd_timedwait, (cnd_t * c, mtx_t* m, const timespec* time), interposed) {
    int error = hook_pthread_cond_timedwait(reinterpret_cast<pthread_cond_t*>(c),
                                            reinterpret_cast<pthread_mutex_t*>(m), time);
    return error == 0 ? thrd_success : error == ETIMEDOUT ? thrd_timedout : thrd_error;
}

HOOK(int, cnd_signal, (cnd_t * c), interposed) {
    return hook_pthread_cond_signal(reinterpret_cast<pthread_cond_t*>(c)) == 0 ? thrd_success
                                                                               : thrd_error;
}

HOOK(int, cnd_broadcast, (cnd_t * c), interposed) {
    return hook_pthread_cond_broadcast(reinterpret_cast<pthread_cond_t*>(c)) == 0 ? thrd_success
                                                                                  : thrd_error;
}
