// Preemption by a timer on the kernel thread's CPU time (timer_create(2)).
//
// The kernel looks at CPU-time timers at its own ticks (4 ms here). A slice of microseconds is
// therefore one of real time: tests use it to preempt a million times in a minute.
//
// The timer ticks only while the process computes, so an idle process has no ticks. A tick that
// finds the thread in the program's own code switches right there: the kernel has saved every
// register in the signal frame, the frame lies on the thread's own stack, and the switch is an
// ordinary yield() inside the handler. The thread goes on when the handler returns. In libc or in
// our own code a switch could show half-done state to another thread; there the tick leaves a note
// for the next hook.
//
// A thread that ran for the whole slice, or that two ticks met without a wait between, is a hog:
// whoever is woken by what comes from outside runs before it, and before new threads, which may be
// no better. One that the tick met by chance is not. While a hog computes, a timer of real time
// looks every other millisecond, or when the next deadline passes, whether anybody else could run:
// a sleeper beside it wakes nearly as soon as natively.
//
// The signal is number 32, which glibc keeps for pthread_cancel: programs can neither block nor
// handle it, and our threads are cancelled without it. It is unblocked in its handler before others
// run there, and not earlier: where a slice is shorter than the delivery of a signal, or strace(1)
// slows everything down, frames must not pile up on the stack.
//
// A second timer, of real time and for one tick, brings what found a thread inside libc to the
// program's own code: ticks of the first one, since a loop of memcpy(3) or stat(2) has so little
// code of its own that one look in 10 ms met it after seconds; and signals, whose handlers natively
// would have run at once. Where that tick finds libc again, it tries again.
//
// Another one ends an accept(2) that would wait. Its tick finds the interrupted system call about
// to be restarted, at one known address, and steps over it. So nothing is changed that another
// process would see, as O_NONBLOCK would be.

#include "hooks/preempt.h"

#include <signal.h>
#include <sys/socket.h>
#include <ucontext.h>

#include <algorithm>

#include "hooks/wait.h"

#include "hooks/activate.h"
#include "hooks/program_code.h"
#include "hooks/signal_stack.h"
#include "hooks/trouble.h"

#if defined(__x86_64__)
asm(".pushsection .text\n"
    ".hidden green_brief_accept\n"
    ".globl green_brief_accept\n"
    ".hidden green_brief_accept_call\n"
    ".globl green_brief_accept_call\n"
    ".type green_brief_accept, @function\n"
    "green_brief_accept:\n"
    "    movl $288, %eax\n"  // SYS_accept4
    "    movq %rcx, %r10\n"
    "green_brief_accept_call:\n"
    "    syscall\n"
    "    ret\n"
    ".popsection\n");
extern "C" long green_brief_accept(int fd, sockaddr* address, socklen_t* size, int flags);
extern "C" const char green_brief_accept_call[];
#endif

namespace green {

uint64_t preempt_slice = 10 * sys::millisecond;
volatile bool preempt_due = false;

namespace {

constexpr int tick_signal = 32;

int slice_timer = -1, second_timer = -1, look_timer = -1, accept_timer = -1;
bool armed = false;
uint64_t switches_at_tick = 0;
uint64_t switches_at_resume = 0;  // when one that was preempted last went on
bool used_whole_slice = false;
bool look_set = false;

bool of_real_time() { return preempt_slice < sys::millisecond; }  // in tests

bool make_timer(int clock, int* timer);

// One tick, so many nanoseconds from now. Where a system call takes long, as under strace(1), it is
// later: ticks must leave the program some time.
bool tick_in(uint64_t time, int* timer, int clock = CLOCK_MONOTONIC) {
    static uint64_t least = 0;
    uint64_t begin = sys::now();
    itimerspec once = {{}, sys::to_timespec(std::max(time, least))};
    bool set = (*timer >= 0 || make_timer(clock, timer)) &&
               sys::invoke(SYS_timer_settime, *timer, 0, &once, nullptr) == 0;
    least = std::min(10 * (sys::now() - begin), 10 * sys::millisecond);
    return set;
}

// Ticks are blocked in their handler, so that those that come too soon do not heap up on the stack.
// Before it gives way to whatever may never return to it:
void unblock_ticks() {
    uint64_t mask = uint64_t{1} << (tick_signal - 1);
    sys::signal_mask(SIG_UNBLOCK, &mask);
}

void begin_slice() {
    int clock = of_real_time() ? CLOCK_MONOTONIC : CLOCK_THREAD_CPUTIME_ID;
    armed = tick_in(preempt_slice, &slice_timer, clock);
}

// Signals and an asynchronous cancellation that wait for a call which this thread does not make.
bool is_anything_requested(const Thread* me) { return signals_arrived || me->interrupt_next_park; }

void act_on_requests(void* context) {
    if (is_anything_requested(self)) run_due_signals(true, context);
    cancel_if_asynchronous();
}

// A look costs 2 us, and 20 in a virtual machine. Where nobody waits, it is for what may have come
// from outside.
void look_again_for_switch() {
    uint64_t when = run_queue_empty() ? sys::millisecond : sys::millisecond / 5;
    if (preempt_slice > when) tick_in(when, &second_timer);
}

void on_second_tick(Thread* me, void* context) {
    bool requests = is_anything_requested(me);
    if (!requests && !preempt_due) return;  // a call was quicker
    if (!in_program_code(interrupted_pc(context))) {
        return requests ? preempt_for_signals() : look_again_for_switch();
    }
    int saved = errno;
    unblock_ticks();
    act_on_requests(context);
    if (preempt_due) {
        ++stats.preemptions;
        preempt_now();
    } else if (preempt_slice != 0) {
        yield_to_loop();  // the handler may be another thread's to run
    }
    signals_fix_frame(context);
    errno = saved;
}

// The interrupted thread gives way: here, or in libc's code at its next call. False then.
bool give_way(void* context) {
    if (!in_program_code(interrupted_pc(context))) {
        preempt_due = true;
        look_again_for_switch();
        return false;
    }
    int saved = errno;
    unblock_ticks();
    ++stats.preemptions;
    act_on_requests(context);
    preempt_now();
    act_on_requests(context);  // of those who ran meanwhile
    signals_fix_frame(context);
    errno = saved;
    return true;
}

// A hog computes, or is about to.
void look_soon() {
    if (look_set) return;
    constexpr uint64_t longest = 2 * sys::millisecond, shortest = 50'000;
    uint64_t now = sys::now(), next = timers.next();
    uint64_t left = next > now ? std::min(next - now, longest) : 0;
    look_set = true;  // before the tick, which may come at once
    if (!tick_in(std::max(left, shortest), &look_timer)) look_set = false;
}

// Somebody else may have run since: then the next hog's turn sets the timer again.
void on_look(void* context) {
    if (stats.switches != hogs_turn_at) return;
    used_whole_slice = true;
    if (somebody_is_due()) give_way(context);
    look_soon();
}

void end_accept(ucontext_t* context) {
#if defined(__x86_64__)
    constexpr int size_of_syscall = 2;
    greg_t* registers = context->uc_mcontext.gregs;
    if (registers[REG_RIP] != reinterpret_cast<greg_t>(green_brief_accept_call)) return;
    registers[REG_RIP] += size_of_syscall;
    registers[REG_RAX] = -EINTR;
#endif
}

void on_tick(int signal, siginfo_t* info, void* context) {
    if (info->si_value.sival_ptr == &accept_timer)
        return end_accept(static_cast<ucontext_t*>(context));
    Thread* me = self;
    bool may_switch = me != nullptr && me->slice == nullptr;  // a flow switches only where it waits
    // Elsewhere it does not switch, and `self` may be another thread than the one whose stack it
    // is.
    bool here = may_switch && in_program_code(interrupted_pc(context));
    if (here && !leave_fault_stack(on_tick, signal, info, context)) {
        preempt_due = true;
        may_switch = false;
    }
    if (info->si_value.sival_ptr == &look_timer) {
        look_set = false;
        if (may_switch) on_look(context);
        return;
    }
    if (info->si_value.sival_ptr == &second_timer) {
        if (may_switch) on_second_tick(me, context);
        return;
    }
    if (stats.threads_alive <= 1) {
        armed = false;
        // The last other one may have sent a signal before it ended.
        if (me != nullptr && is_anything_requested(me)) preempt_for_signals();
        return;
    }
    begin_slice();
    // The tick before made two switches, to the loop and to the thread that runs now.
    bool alone = stats.switches <= switches_at_tick + 2;
    bool met_again = stats.switches == switches_at_resume;  // and has not waited since
    used_whole_slice = alone || met_again || stats.switches == hogs_turn_at;
    switches_at_tick = stats.switches;
    if (!may_switch) return;
    if (give_way(context)) return;
    int saved = errno;
    trouble_slice_used(preempt_slice);
    errno = saved;
}

bool make_timer(int clock, int* timer) {
    sys::SignalAction action = {reinterpret_cast<void (*)(int)>(reinterpret_cast<void*>(on_tick)),
                                SA_SIGINFO | SA_RESTART | SA_ONSTACK | sys::sa_restorer,
                                sys::green_restore_frame, 0};
    sigevent event = {};
    event.sigev_notify = SIGEV_THREAD_ID;
    event.sigev_signo = tick_signal;
    event.sigev_value.sival_ptr = timer;
    event._sigev_un._tid = static_cast<pid_t>(sys::invoke(SYS_gettid));
    unblock_ticks();
    if (sys::failed(sys::signal_action(tick_signal, &action))) return false;
    long r = sys::invoke(SYS_timer_create, clock, &event, timer);
    if (r == -EAGAIN) {  // each timer counts as a pending signal of the user's
        sys::LiftedLimit scope(RLIMIT_SIGPENDING, RLIM_INFINITY);
        r = sys::invoke(SYS_timer_create, clock, &event, timer);
    }
    return !sys::failed(r);
}

}  // namespace

// No timers left: threads switch at their calls only.
static void do_without_ticks() {
    preempt_slice = 0;
    static const char line[] =
        "libgreen: no timer can be made (ulimit -i?); a thread that computes stops the others\n";
    if (warnings && !sandboxed) sys::invoke(SYS_write, 2, line, sizeof line - 1);
}

void preempt_start() {
    if (armed || preempt_slice == 0) return;
    begin_slice();
    if (!armed) do_without_ticks();
    if (armed && !of_real_time()) on_hogs_turn = look_soon;
}

void preempt_for_signals() {
    constexpr uint64_t soon = 100'000;
    tick_in(soon, &second_timer);
}

long accept_for_a_moment(int fd, sockaddr* address, socklen_t* size, int flags) {
#if defined(__x86_64__)
    constexpr itimerspec often = {{0, 1'000'000}, {0, 1'000'000}}, never = {};
    if (accept_timer >= 0 || make_timer(CLOCK_MONOTONIC, &accept_timer)) {
        sys::invoke(SYS_timer_settime, accept_timer, 0, &often, nullptr);
        long r = green_brief_accept(fd, address, size, flags);
        sys::invoke(SYS_timer_settime, accept_timer, 0, &never, nullptr);
        return r;
    }
#endif
    NonblockingForOneCall scope(fd);  // no timers left
    return sys::invoke(SYS_accept4, fd, address, size, flags);
}

void preempt_now() {
    preempt_due = false;
    if (used_whole_slice) {
        yield_as_hog();
    } else {
        yield_to_loop();
    }
    switches_at_resume = stats.switches;
}

void preempt_after_fork_in_child() {
    slice_timer = second_timer = look_timer = accept_timer = -1;
    look_set = false;
    armed = false;
    preempt_due = false;
    switches_at_tick = switches_at_resume = 0;
}

}  // namespace green
