// Cancellation (pthread_cancel(3), pthreads(7)): a request is noted in the thread, ends its wait if
// it waits, and is acted upon at the next cancellation point, which every blocking hook is.

#include <pthread.h>

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
    if (me->cancel_pending && !me->cancel_disabled && !me->exiting) {
        exit_thread(PTHREAD_CANCELED);
    }
}

bool interruption_ends_call(bool restartable) {
    bool ends = run_due_signals(restartable);
    cancel_if_pending();
    return ends;
}

}  // namespace green

HOOK(int, pthread_cancel, (pthread_t which), interposed) {
    if (self == nullptr && !activate()) return original_pthread_cancel()(which);
    Thread* t = thread_of(reinterpret_cast<void*>(which));
    if (t == nullptr) return original_pthread_cancel()(which);
    if (t->state == State::ended) return 0;
    t->cancel_pending = true;
    if (t == self) {
        if (t->cancel_asynchronous) cancel_if_pending();
    } else if (!t->cancel_disabled) {
        interrupt(t);
    }
    return 0;
}

HOOK(int, pthread_setcancelstate, (int state, int* old), interposed) {
    if (self == nullptr) return original_pthread_setcancelstate()(state, old);
    if (state != PTHREAD_CANCEL_ENABLE && state != PTHREAD_CANCEL_DISABLE) return EINVAL;
    Thread* me = self;
    if (old != nullptr) *old = me->cancel_disabled ? PTHREAD_CANCEL_DISABLE : PTHREAD_CANCEL_ENABLE;
    me->cancel_disabled = state == PTHREAD_CANCEL_DISABLE;
    if (me->cancel_asynchronous) cancel_if_pending();
    return 0;
}

HOOK(int, pthread_setcanceltype, (int type, int* old), interposed) {
    if (self == nullptr) return original_pthread_setcanceltype()(type, old);
    if (type != PTHREAD_CANCEL_DEFERRED && type != PTHREAD_CANCEL_ASYNCHRONOUS) return EINVAL;
    Thread* me = self;
    if (old != nullptr) {
        *old = me->cancel_asynchronous ? PTHREAD_CANCEL_ASYNCHRONOUS : PTHREAD_CANCEL_DEFERRED;
    }
    me->cancel_asynchronous = type == PTHREAD_CANCEL_ASYNCHRONOUS;
    if (me->cancel_asynchronous) cancel_if_pending();
    return 0;
}

HOOK(void, pthread_testcancel, (), interposed) {
    if (self == nullptr) return original_pthread_testcancel()();
    cancel_if_pending();
}
