// POSIX semaphores, named and unnamed (sem_wait(3), sem_post(3)).
//
// The count lives where glibc keeps it and changes through glibc's own trywait and post; a thread
// that finds it zero parks on the semaphore's address. A semaphore in shared memory may be posted
// by another process, which cannot wake us: its waiters look again after short sleeps.

#include <semaphore.h>

#include "hooks/wait.h"

using namespace green;

ORIGINAL(int, sem_wait, (sem_t*), nullptr)
ORIGINAL(int, sem_trywait, (sem_t*), nullptr)
ORIGINAL(int, sem_clockwait, (sem_t*, clockid_t, const timespec*), nullptr)
ORIGINAL(int, sem_post, (sem_t*), nullptr)

namespace {

// glibc's struct new_sem on 64-bit machines: value and waiters in one word, then `private`, which
// is FUTEX_PRIVATE_FLAG turned around: 0 for a private one, 128 for one that processes share.
struct NewSem {
    uint64_t data;
    int shared;
    int pad;
};

bool shared_with_processes(const sem_t* s) {
    return reinterpret_cast<const NewSem*>(s)->shared != 0;
}

// What sem_trywait(3) does, without its call and its errno.
bool take(sem_t* s) {
    uint64_t* data = &reinterpret_cast<NewSem*>(s)->data;
    uint64_t seen = __atomic_load_n(data, __ATOMIC_RELAXED);
    while (static_cast<uint32_t>(seen) > 0) {
        if (__atomic_compare_exchange_n(data, &seen, seen - 1, true, __ATOMIC_ACQUIRE,
                                        __ATOMIC_RELAXED)) {
            return true;
        }
    }
    return false;
}

// 0, or the errno of the failure.
int wait_for(sem_t* s, sys::Deadline deadline) {
    cancel_if_pending();
    bool shared = shared_with_processes(s);
    for (bool overtaken = false;; overtaken = true) {
        if (take(s)) {
            count_unparked_call();
            return waited(0);
        }
        Wake why = wait_object(s, shared, deadline, 0, overtaken);
        if (why == Wake::timed_out) return waited(ETIMEDOUT);
        // With a time-out it is never restarted, by the kernel (futex(2)) or glibc.
        bool restartable = deadline == sys::never;
        if (why == Wake::interrupted && interruption_ends_call(restartable)) return EINTR;
    }
}

int finish(int error) {
    if (error == 0) return 0;
    errno = error;
    return -1;
}

}  // namespace

HOOK(int, sem_wait, (sem_t * s), interposed) {
    if (self == nullptr) return original_sem_wait()(s);
    return finish(wait_for(s, sys::never));
}

HOOK(int, sem_clockwait, (sem_t * s, clockid_t clock, const timespec* time), interposed) {
    if (self == nullptr) return original_sem_clockwait()(s, clock, time);
    if (bad_clock(clock) || bad_nanoseconds(time)) return finish(EINVAL);
    return finish(wait_for(s, deadline_at(clock, time)));
}

HOOK(int, sem_timedwait, (sem_t * s, const timespec* time), interposed) {
    return hook_sem_clockwait(s, CLOCK_REALTIME, time);
}

HOOK(int, sem_trywait, (sem_t * s), interposed) {
    int r = original_sem_trywait()(s);
    if (r != 0 && self != nullptr && errno == EAGAIN) {
        yield();
        errno = EAGAIN;
    }
    return r;
}

HOOK(int, sem_post, (sem_t * s), interposed) {
    int r = original_sem_post()(s);
    if (r == 0) wake_waiters(s, 1);
    return r;
}
