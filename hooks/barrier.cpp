// Barriers and once-only initialisation (pthread_barrier_wait(3p), pthread_once(3p), call_once).
//
// Both objects hold glibc's own values, so that they mean the same to code that ran before the
// first thread was made.

#include <limits.h>
#include <pthread.h>
#include <threads.h>

#include "hooks/activate.h"
#include "hooks/signal.h"
#include "hooks/wait.h"

using namespace green;

extern "C" {
void _pthread_cleanup_push(_pthread_cleanup_buffer*, void (*)(void*), void*);
void _pthread_cleanup_pop(_pthread_cleanup_buffer*, int);
}

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
constexpr unsigned once_in_progress = 1, once_done = 2;
unsigned in_progress_here() { return once_in_progress | static_cast<unsigned>(fork_generation); }

// glibc's own rules, so that a barrier means the same before the first thread, in the child of a
// fork and to native processes: `in` and `out` count arrivals and departures, current_round is how
// many arrivals may go. Whoever departs as the last one allowed for starts the counts again, which
// pthread_barrier_destroy waits for by pretending that so many have come.
unsigned arrivals_before_reset(const Barrier* b) {
    constexpr unsigned threshold = UINT_MAX / 2;
    return threshold - threshold % b->count;
}

void wait_while(const unsigned* word, unsigned value, bool shared) {
    while (__atomic_load_n(word, __ATOMIC_ACQUIRE) == value) {
        Wake why = wait_word(word, static_cast<int>(value), shared);
        if (why == Wake::interrupted) handle_interruption();
    }
}

void wake_all(const unsigned* word, bool shared) { wake_word(word, INT_MAX, shared); }

unsigned arrive(Barrier* b) {
    for (;;) {
        unsigned arrival = __atomic_add_fetch(&b->in, 1, __ATOMIC_ACQ_REL);
        if (arrival <= arrivals_before_reset(b)) return arrival;
        while (arrival > arrivals_before_reset(b)) {
            wait_while(&b->in, arrival, b->shared != 0);
            arrival = __atomic_load_n(&b->in, __ATOMIC_RELAXED);
        }
    }
}

void depart(Barrier* b) {
    unsigned last = arrivals_before_reset(b);
    if (__atomic_add_fetch(&b->out, 1, __ATOMIC_ACQ_REL) != last) return;
    b->current_round = 0;
    b->out = 0;
    __atomic_store_n(&b->in, 0, __ATOMIC_RELEASE);
    wake_all(&b->in, b->shared != 0);
}

int wait_barrier(Barrier* b) {
    unsigned count = b->count, arrival = arrive(b);
    unsigned round = __atomic_load_n(&b->current_round, __ATOMIC_RELAXED);
    while (round + count <= arrival) {
        unsigned complete = arrival - arrival % count;
        if (__atomic_compare_exchange_n(&b->current_round, &round, complete, false,
                                        __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) {
            wake_all(&b->current_round, b->shared != 0);
            round = complete;
        }
    }
    while (round < arrival) {
        wait_while(&b->current_round, round, b->shared != 0);
        round = __atomic_load_n(&b->current_round, __ATOMIC_ACQUIRE);
    }
    depart(b);
    return waited(arrival % count == 0 ? PTHREAD_BARRIER_SERIAL_THREAD : 0);
}

int destroy_barrier(Barrier* b) {
    unsigned in = __atomic_load_n(&b->in, __ATOMIC_RELAXED);
    unsigned left = arrivals_before_reset(b) - in;
    if (__atomic_fetch_add(&b->out, left, __ATOMIC_ACQ_REL) >= in) return 0;
    while (in != 0) {  // somebody has not left yet
        wait_while(&b->in, in, b->shared != 0);
        in = __atomic_load_n(&b->in, __ATOMIC_ACQUIRE);
    }
    return 0;
}

// Takes the control back if the routine is left by an exception or a cancellation. The latter may
// find no way to this frame through a routine that was compiled without unwind tables; then libc
// runs what stands in the thread's list of cleanup handlers.
class OnceAttempt {
  public:
    explicit OnceAttempt(unsigned* control) {
        _pthread_cleanup_push(&cleanup_, take_back, control);
    }
    ~OnceAttempt() { _pthread_cleanup_pop(&cleanup_, done ? 0 : 1); }
    OnceAttempt(const OnceAttempt&) = delete;
    OnceAttempt& operator=(const OnceAttempt&) = delete;
    bool done = false;

  private:
    static void take_back(void* control) {
        auto* word = static_cast<unsigned*>(control);
        __atomic_store_n(word, 0, __ATOMIC_RELEASE);
        wake_all(word, false);
    }
    _pthread_cleanup_buffer cleanup_;
};

}  // namespace

HOOK(int, pthread_barrier_wait, (pthread_barrier_t * barrier), interposed) {
    return wait_barrier(reinterpret_cast<Barrier*>(barrier));
}

HOOK(int, pthread_barrier_destroy, (pthread_barrier_t * barrier), interposed) {
    return destroy_barrier(reinterpret_cast<Barrier*>(barrier));
}

// libc reads its own files under one (gai.conf, the tables of iconv): it may park there.
HOOK(int, pthread_once, (pthread_once_t * control, void (*routine)()), redirected) {
    auto* word = reinterpret_cast<unsigned*>(control);
    for (;;) {
        unsigned seen = __atomic_load_n(word, __ATOMIC_ACQUIRE), here = in_progress_here();
        if (seen == once_done) return 0;
        if (seen == here) {
            wait_while(word, here, false);
        } else if (__atomic_compare_exchange_n(word, &seen, here, false, __ATOMIC_ACQUIRE,
                                               __ATOMIC_RELAXED)) {
            break;
        }
    }
    {
        OnceAttempt attempt(word);
        routine();
        attempt.done = true;
    }
    __atomic_store_n(word, once_done, __ATOMIC_RELEASE);
    wake_all(word, false);
    return 0;
}
HOOK_ALIAS(__pthread_once, pthread_once, redirected)

HOOK(void, call_once, (once_flag * control, void (*routine)()), interposed) {
    hook_pthread_once(reinterpret_cast<pthread_once_t*>(control), routine);
}
