// Cancellation (pthread_cancel(3), pthreads(7)): a request is noted in the thread, ends its wait if
// it waits, and is acted upon at the next cancellation point, which every blocking hook is.

#include <fcntl.h>
#include <pthread.h>
#include <sys/random.h>

#include "hooks/activate.h"
#include "hooks/signal.h"
#include "hooks/thread.h"
#include "hooks/wait.h"

using namespace green;

ORIGINAL(int, pthread_cancel, (pthread_t), nullptr)
ORIGINAL(int, pthread_setcancelstate, (int, int*), nullptr)
ORIGINAL(int, pthread_setcanceltype, (int, int*), nullptr)
ORIGINAL(void, pthread_testcancel, (), nullptr)

namespace green {

void cancel_if_pending() {
    Thread* me = self;
    if (!me->cancel_pending || me->leaving || me->exiting) return;
    if (me->uncancelled && !thread_block_cancel_asynchronous(me->block)) return;
    if (!thread_block_cancel_disabled(me->block)) exit_thread(PTHREAD_CANCELED);
}

void cancel_if_asynchronous() {
    if (self->cancel_pending && thread_block_cancel_asynchronous(self->block)) cancel_if_pending();
}

int cancel_at_once() {
    int before = PTHREAD_CANCEL_DEFERRED;
    original_pthread_setcanceltype()(PTHREAD_CANCEL_ASYNCHRONOUS, &before);
    return before;
}

void cancel_as_before(int type) { original_pthread_setcanceltype()(type, nullptr); }

bool interruption_ends_call(bool restartable) {
    bool ends = run_due_signals(restartable);
    cancel_if_pending();
    return ends;
}

void handle_interruption() {
    run_due_signals(true);
    cancel_if_asynchronous();
}

}  // namespace green

HOOK(int, pthread_cancel, (pthread_t which), interposed) {
    if (self == nullptr && !activate()) return original_pthread_cancel()(which);
    Thread* t = thread_of(reinterpret_cast<void*>(which));
    if (t == nullptr) return original_pthread_cancel()(which);
    if (t->state == State::ended) return 0;
    t->cancel_pending = true;
    if (t == self) {
        cancel_if_asynchronous();
    } else if (!thread_block_cancel_disabled(t->block)) {
        interrupt(t);
    }
    return 0;
}

HOOK(int, pthread_setcancelstate, (int state, int* old), interposed) {
    int error = original_pthread_setcancelstate()(state, old);
    if (self != nullptr) cancel_if_asynchronous();
    return error;
}

HOOK(int, pthread_setcanceltype, (int type, int* old), interposed) {
    int error = original_pthread_setcanceltype()(type, old);
    if (self != nullptr) cancel_if_asynchronous();
    return error;
}

HOOK(void, pthread_testcancel, (), interposed) {
    if (self == nullptr) return original_pthread_testcancel()();
    cancel_if_pending();
}

// Cancellation points that wait for no other thread.
namespace {

template <class... Args>
long point(long number, Args... args) {
    if (self == nullptr) return result(invoke_point(number, args...));
    cancellation_point();
    return result(sys::invoke(number, args...));
}

}  // namespace

HOOK(ssize_t, getrandom, (void* buffer, size_t size, unsigned flags), interposed) {
    return point(SYS_getrandom, buffer, size, flags);
}

HOOK(int, fallocate, (int fd, int mode, off_t offset, off_t size), interposed) {
    return static_cast<int>(point(SYS_fallocate, fd, mode, offset, size));
}
HOOK_ALIAS(fallocate64, fallocate, interposed)

HOOK(ssize_t, copy_file_range,
     (int from, off64_t* from_at, int to, off64_t* to_at, size_t size, unsigned flags),
     interposed) {
    return point(SYS_copy_file_range, from, from_at, to, to_at, size, flags);
}
