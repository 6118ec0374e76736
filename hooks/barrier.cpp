// Barriers and once-only initialisation (pthread_barrier_wait(3p), pthread_once(3p), call_once).
//
// A barrier's arrivals are counted in its own `__in`, which goes back to zero with each round; a
// once control holds glibc's own values, so that both mean the same to code that ran before the
// first thread was made.

#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <threads.h>

#include "hooks/activate.h"
#include "hooks/signal.h"
#include "hooks/wait.h"

using namespace green;

ORIGINAL(int, pthread_barrier_wait, (pthread_barrier_t*), nullptr)
ORIGINAL(int, pthread_once, (pthread_once_t*, void (*)()), nullptr)

namespace {

// glibc's struct pthread_barrier.
struct Barrier {
    unsigned in;
    unsigned current_round;
    unsigned count;
    int shared;
    unsigned out;
};
static_assert(sizeof(Barrier) <= sizeof(pthread_barrier_t));

// An attempt that was in progress when its process forked has nobody to end it in the child; as in
// glibc the number of forks in the upper bits tells.
constexpr int once_in_progress = 1, once_done = 2;
int in_progress_here() { return once_in_progress | fork_generation; }

int green_barrier_wait(Barrier* b) {
    if (++b->in == b->count) {
        b->in = 0;
        ++b->current_round;
        wake_address(b, UINT32_MAX);
        return PTHREAD_BARRIER_SERIAL_THREAD;
    }
    // The next round may begin, and even end, before this thread runs again.
    unsigned round = b->current_round;
    while (b->current_round == round) {
        if (wait_address(b) == Wake::interrupted) run_due_signals(true);
    }
    return 0;
}

// One that processes share is waited on by glibc's own rules, so that native processes can take
// part: `in` and `out` count arrivals and departures for ever, current_round is how many arrivals
// may go. Nobody in another process wakes us, hence the naps.
int shared_barrier_wait(Barrier* b) {
    unsigned arrival = __atomic_add_fetch(&b->in, 1, __ATOMIC_ACQ_REL);
    unsigned round = __atomic_load_n(&b->current_round, __ATOMIC_RELAXED);
    while (round + b->count <= arrival) {
        if (__atomic_compare_exchange_n(&b->current_round, &round, round + b->count, false,
                                        __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) {
            wake_address(b, UINT32_MAX);
            sys::invoke(SYS_futex, &b->current_round, FUTEX_WAKE, INT_MAX);
            break;
        }
    }
    while (__atomic_load_n(&b->current_round, __ATOMIC_ACQUIRE) < arrival) {
        if (wait_object(b, true, sys::never) == Wake::interrupted) run_due_signals(true);
    }
    __atomic_add_fetch(&b->out, 1, __ATOMIC_RELEASE);
    return arrival % b->count == 0 ? PTHREAD_BARRIER_SERIAL_THREAD : 0;
}

// Takes the control back if the routine is left by an exception or a cancellation.
class OnceAttempt {
  public:
    explicit OnceAttempt(pthread_once_t* control) : control_(control) {
        *control_ = in_progress_here();
    }
    ~OnceAttempt() {
        *control_ = done ? once_done : 0;
        wake_address(control_, UINT32_MAX);
    }
    OnceAttempt(const OnceAttempt&) = delete;
    OnceAttempt& operator=(const OnceAttempt&) = delete;
    bool done = false;

  private:
    pthread_once_t* control_;
};

}  // namespace

HOOK(int, pthread_barrier_wait, (pthread_barrier_t * barrier), interposed) {
    auto* b = reinterpret_cast<Barrier*>(barrier);
    if (self == nullptr) return original_pthread_barrier_wait()(barrier);
    return b->shared != 0 ? shared_barrier_wait(b) : green_barrier_wait(b);
}

HOOK(int, pthread_once, (pthread_once_t * control, void (*routine)()), interposed) {
    if (self == nullptr) return original_pthread_once()(control, routine);
    while (*control == in_progress_here()) {
        if (wait_address(control) == Wake::interrupted) run_due_signals(true);
    }
    if (*control == once_done) return 0;
    OnceAttempt attempt(control);
    routine();
    attempt.done = true;
    return 0;
}
HOOK_ALIAS(__pthread_once, pthread_once, interposed)

HOOK(void, call_once, (once_flag * control, void (*routine)()), interposed) {
    hook_pthread_once(reinterpret_cast<pthread_once_t*>(control), routine);
}
