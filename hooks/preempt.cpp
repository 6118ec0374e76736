// Preemption by a timer on the kernel thread's CPU time (timer_create(2)).
//
// The timer ticks only while the process computes, so an idle process has no ticks. A tick that
// finds the thread in the program's own code switches right there: the kernel has saved every
// register in the signal frame, the frame lies on the thread's own stack, and the switch is an
// ordinary yield() inside the handler. The thread goes on when the handler returns. In libc or in
// our own code a switch could show half-done state to another thread; there the tick leaves a note
// for the next hook.
//
// The signal is number 32, which glibc keeps for pthread_cancel: programs can neither block nor
// handle it, and our threads are cancelled without it. It is not masked in its own handler, because
// other threads run before that returns.

#include "hooks/preempt.h"

#include <signal.h>
#include <ucontext.h>

#include "hooks/wait.h"

#include "hooks/program_code.h"

extern "C" void green_restore_frame();

namespace green {

unsigned preempt_slice_ms = 10;
volatile bool preempt_due = false;

namespace {

constexpr int tick_signal = 32;
constexpr size_t mask_size = 8;

int timer = -1;
bool armed = false;

void set_timer(uint64_t slice) {
    timespec t = sys::to_timespec(slice);
    itimerspec when = {t, t};
    sys::invoke(SYS_timer_settime, timer, 0, &when, nullptr);
    armed = slice != 0;
}

// Signals and an asynchronous cancellation that wait for a call which this thread does not make.
void act_on_requests(Thread* me) {
    safe_point();
    if (me->cancel_pending && me->cancel_asynchronous) cancel_if_pending();
}

void on_tick(int, siginfo_t*, void* context) {
    Thread* me = self;
    if (me == nullptr) return;
    if (stats.threads_alive <= 1) return set_timer(0);
    if (!in_program_code(interrupted_pc(context))) {
        preempt_due = true;
        return;
    }
    int saved = errno;
    ++stats.preemptions;
    act_on_requests(me);
    yield_to_loop();
    signals_fix_frame(context);
    errno = saved;
}

bool make_timer() {
    struct {
        void (*handler)(int, siginfo_t*, void*);
        unsigned long flags;
        void (*restorer)();
        uint64_t mask;
    } action = {on_tick, SA_SIGINFO | SA_NODEFER | SA_RESTART | 0x04000000UL, green_restore_frame,
                0};
    sigevent event = {};
    event.sigev_notify = SIGEV_THREAD_ID;
    event.sigev_signo = tick_signal;
    event._sigev_un._tid = static_cast<pid_t>(sys::invoke(SYS_gettid));
    uint64_t unblocked = uint64_t{1} << (tick_signal - 1);
    return !sys::failed(sys::invoke(SYS_rt_sigaction, tick_signal, &action, nullptr, mask_size)) &&
           !sys::failed(
               sys::invoke(SYS_rt_sigprocmask, SIG_UNBLOCK, &unblocked, nullptr, mask_size)) &&
           !sys::failed(sys::invoke(SYS_timer_create, CLOCK_THREAD_CPUTIME_ID, &event, &timer));
}

}  // namespace

void preempt_start() {
    if (armed || preempt_slice_ms == 0) return;
    if (timer < 0 && !make_timer()) {
        preempt_slice_ms = 0;  // no timers left: threads then switch at their calls only
        return;
    }
    set_timer(preempt_slice_ms * sys::millisecond);
}

void preempt_after_fork_in_child() {
    timer = -1;
    armed = false;
    preempt_due = false;
}

}  // namespace green
