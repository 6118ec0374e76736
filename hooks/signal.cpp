// Signals (signal(7)): handlers run at safe points, in a green thread that has not blocked them.
//
// While there are green threads, every handler the program installs is kept here, and the kernel
// gets a tiny one of ours in its place:
//
//     kernel --> on_signal: into a queue, wake the loop
//                     loop, or the next hook --> choose a thread (main first) --> its list, unpark
//                                                     the thread, its wait taken down --> handler
//
// What came before a call that changes actions, masks or timers is handled before that call takes
// effect, as by the kernel, which would have handled it at once (a safe point at its entry).
//
// So a handler runs on its thread's own stack, may block, park and siglongjmp, and the call it
// interrupted returns EINTR or goes on as SA_RESTART says. A signal that arrives while the chosen
// thread runs the program's own code (not libc's or ours) is handled right there, as natively; a
// tick (preempt.h) sees to it that one which met it elsewhere need not wait for the next call.
//
// Each green thread has its own mask. The kernel's mask is what all of them block: such a signal
// stays pending in the kernel, where sigwait(3) and signalfd(2) find it. A fault (SIGSEGV ...) is
// handled at once, with the mask of the thread that made it. Default and ignoring actions are never
// touched: those are the kernel's, but that of a signal which a thread brings upon itself by a call
// (SIGPIPE): while some threads block it and others do not, only we know whether it is to end the
// process.

#include "hooks/signal.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>
#include <unistd.h>

#include <utility>

#include "hooks/accept_check.h"
#include "hooks/activate.h"
#include "hooks/fs_trap.h"
#include "hooks/hooks.h"
#include "hooks/program_code.h"
#include "hooks/signal_context.h"
#include "hooks/signal_queue.h"
#include "hooks/signal_stack.h"
#include "hooks/trouble.h"
#include "hooks/wait.h"
#include "runtime/loop.h"

using namespace green;

namespace green {
volatile bool signals_arrived = false;
}

namespace {

constexpr int signal_count = 65;

const Mask by_own_call = bit(SIGPIPE) | bit(SIGXFSZ);
const Mask faults =
    bit(SIGSEGV) | bit(SIGBUS) | bit(SIGFPE) | bit(SIGILL) | bit(SIGTRAP) | bit(SIGSYS);

const Mask wrapped_faults = faults & ~bit(SIGSYS);  // that one may be the auditor's, or a sandbox's

using Action = sys::SignalAction;

struct Arrived {
    siginfo_t info;
    Thread* thread;  // whom it is for; null: for the process
};
constexpr int queue_size = 256;

bool active = false;
Action actions[signal_count];  // the program's, where `ours` says that the kernel has on_signal
Mask ours = 0;
Mask only_guarded = 0;            // of these: the program's action is the default one
Mask read_by_descriptor = 0;      // what the program gave to signalfd(2)
Mask kernel_mask = 0;             // what was last told to the kernel
Mask auditors = 0;                // SIGSYS while the auditor has it: then no mask may hold it
unsigned blockers[signal_count];  // how many threads block each signal
Mask blocked_by_some = 0;
unsigned threads_with_masks = 0;  // of all alive

// Written by the real handler, emptied at safe points with signals blocked.
Arrived arrived[queue_size];
int arrived_count = 0;
Mask held_back = 0;  // what the kernel is to keep while there is little room in the queue

QueuedSignal* for_process = nullptr;  // pending for whichever thread may take them

// What no mask of the kernel's may hold.
Mask unblockable() { return auditors | context_signals; }

void set_kernel_mask(Mask m) {
    m = (m | held_back) & ~unblockable();
    if (m == kernel_mask) return;
    kernel_mask = m;
    sys::signal_mask(SIG_SETMASK, &kernel_mask);
}

class AllBlocked {
  public:
    AllBlocked() {
        Mask all = ~context_signals;
        sys::signal_mask(SIG_SETMASK, &all);
    }
    ~AllBlocked() { sys::signal_mask(SIG_SETMASK, &kernel_mask); }
    AllBlocked(const AllBlocked&) = delete;
    AllBlocked& operator=(const AllBlocked&) = delete;
};

Mask blocked_by_all() {
    Mask all = 0;
    for (Mask rest = blocked_by_some; rest != 0; rest &= rest - 1) {
        int signal = __builtin_ctzll(rest) + 1;
        if (blockers[signal] == threads_with_masks) all |= bit(signal);
    }
    return all;
}

// What the first thread waits for in sigwait(3) the kernel gives to it, before it thinks of a
// default action or another thread (main is asked first): so that stays pending for it, even where
// others do not block it.
Mask awaited_by_first = 0;

Mask mask_for_kernel() {
    Mask handled = ours & ~only_guarded;
    return blocked_by_all() | (awaited_by_first & ~handled & ~faults);
}

void count_mask(Mask m, int by) {
    for (; m != 0; m &= m - 1) {
        int signal = __builtin_ctzll(m) + 1;
        blockers[signal] += static_cast<unsigned>(by);
        blocked_by_some =
            blockers[signal] == 0 ? blocked_by_some & ~bit(signal) : blocked_by_some | bit(signal);
    }
}

void guard_own_calls();
void changed_mask(Thread* t, Mask more, Mask less);

// A thread's mask changes; the kernel is told if that changes what all threads block.
void set_mask(Thread* t, Mask m) {
    m &= ~never_blocked;
    Mask before = t->blocked;
    if (m == before) return;
    t->blocked = m;
    count_mask(m & ~before, 1);
    count_mask(before & ~m, -1);
    if ((blocked_by_some & by_own_call & ~ours) != 0) guard_own_calls();
    set_kernel_mask(mask_for_kernel());
    changed_mask(t, m & ~before, before & ~m);
}

Thread* choose_thread(int signal) {
    Thread* last = nullptr;  // the list's newest thread comes first, so the oldest one wins
    for (Thread* t = threads_alive(); t != nullptr; t = t->next_alive) {
        if ((t->blocked & bit(signal)) == 0 && !t->exiting) last = t;
    }
    return last;
}

// Wakes the thread that is to take a signal for the process: one that does not block it, or waits
// for it.
void wake_for_process(int signal) {
    Thread* t = choose_thread(signal);
    for (Thread* w = threads_alive(); t == nullptr && w != nullptr; w = w->next_alive) {
        if ((w->awaited & bit(signal)) != 0) t = w;
    }
    if (t != nullptr) interrupt(t);
}

// Whether a signal for the process is the kernel's to keep while all block it: a standard one,
// since it is pending once, and what the program reads from signalfd(2). Of the others the kernel
// may have younger ones already.
bool kernel_keeps(int signal) {
    bool asked_for = signal < SIGRTMIN || (read_by_descriptor & bit(signal)) != 0;
    return asked_for && (blocked_by_all() & bit(signal)) != 0;
}

void send_to_process(siginfo_t* info) {
    sys::invoke(SYS_rt_sigqueueinfo, sys::invoke(SYS_getpid), info->si_signo, info);
}

// What a thread lets in may be there already; what it keeps out from now on, others may take.
void changed_mask(Thread* t, Mask more, Mask less) {
    if (t->pending == nullptr && for_process == nullptr) return;
    Mask waiting = queued_signals(for_process);
    if (((queued_signals(t->pending) | waiting) & less) != 0) interrupt(t);
    for (Mask rest = waiting & more; rest != 0; rest &= rest - 1) {
        int signal = __builtin_ctzll(rest) + 1;
        siginfo_t info;
        while (kernel_keeps(signal) && dequeue_signal(&for_process, bit(signal), &info)) {
            send_to_process(&info);
        }
        wake_for_process(signal);
    }
}

// To a thread's own queue. False when there is no room.
bool give(Thread* t, const siginfo_t& info) {
    if (!queue_signal(&t->pending, info)) return false;
    if (((~t->blocked | t->awaited) & bit(info.si_signo)) != 0) {
        interrupt(t);
    } else if ((read_by_descriptor & bit(info.si_signo)) != 0 && t->park == Park::fd) {
        unpark(t);  // it may be asking poll(2) about a signalfd
    }
    return true;
}

void give_to_process(siginfo_t* info) {
    if (kernel_keeps(info->si_signo)) return send_to_process(info);
    if (queue_signal(&for_process, *info)) wake_for_process(info->si_signo);
}

// The signals for the process that are this thread's to handle.
Mask chosen_for(const Thread* t) {
    Mask all = queued_signals(for_process) & ~t->blocked, chosen = 0;
    for (Mask rest = all; rest != 0; rest &= rest - 1) {
        int signal = __builtin_ctzll(rest) + 1;
        if (choose_thread(signal) == t) chosen |= bit(signal);
    }
    return chosen;
}

bool is_anything_pending(const Thread* t) {
    return t->pending != nullptr || for_process != nullptr || signals_arrived;
}

// From the queue of the real handler to the threads. In a hook or in the loop.
void distribute() {
    if (!signals_arrived) return;
    AllBlocked scope;
    signals_arrived = false;
    for (int i = 0; i < arrived_count; ++i) {
        siginfo_t& info = arrived[i].info;
        if (arrived[i].thread == nullptr) {
            give_to_process(&info);
        } else {
            give(arrived[i].thread, info);
        }
    }
    arrived_count = 0;
    held_back = 0;
    kernel_mask = mask_for_kernel() & ~auditors;
}

void no_longer_ours(int signal) {
    ours &= ~bit(signal);
    only_guarded &= ~bit(signal);
}

struct HandlerCall {
    const Action* action;
    siginfo_t* info;
    ucontext_t* context;
};

void enter_handler(void* argument) {
    auto* call = static_cast<HandlerCall*>(argument);
    if ((call->action->flags & SA_SIGINFO) == 0) return call->action->handler(call->info->si_signo);
    auto with_info = reinterpret_cast<void (*)(int, siginfo_t*, void*)>(
        reinterpret_cast<void*>(call->action->handler));
    with_info(call->info->si_signo, call->info, call->context);
}

// The default action of a signal that reached a thread which does not block it.
void take_default_action(int signal) {
    if ((ours & bit(signal)) != 0) kernel_action(signal, &sys::default_action, nullptr);
    no_longer_ours(signal);
    sys::raise(signal);
}

// The next signal for a handler of this thread. Actions that have changed meanwhile are taken.
bool take_for_handler(Thread* me, siginfo_t* info) {
    distribute();
    // What it waits for by sigwait(3) goes there, though it lets it in.
    Mask others = ~me->awaited;
    while (dequeue_signal(&me->pending, ~me->blocked & others, info) ||
           dequeue_signal(&for_process, chosen_for(me) & others, info)) {
        if ((ours & ~only_guarded & bit(info->si_signo)) != 0) return true;
        take_default_action(info->si_signo);
    }
    return false;
}

void call_handler(const siginfo_t& info, void* interrupted);

// The handler, and what sigreturn(2) does: the mask is what the context says afterwards. As the
// kernel does it: a frame is laid on the stack for every signal that is pending and that the ones
// before it do not block, and only then the program runs on, in the last of them.
void run_handler(void* argument) {
    auto* call = static_cast<HandlerCall*>(argument);
    Thread* me = self;
    int saved = errno;
    bool uncancelled = std::exchange(me->uncancelled, false);
    ucontext_t* context = call->context;
    auto goes_on = interrupted_pc(context);
    Mask after = me->mask_after != nullptr ? *me->mask_after : me->blocked;
    me->mask_after = nullptr;
    memcpy(&context->uc_sigmask, &after, sizeof after);  // the kernel's frame has no more of it
    stack_t kernels = context->uc_stack;
    context->uc_stack = alternate_stack_of(me);
    Mask added = call->action->mask;
    if ((call->action->flags & SA_NODEFER) == 0) added |= bit(call->info->si_signo);
    set_mask(me, me->blocked | added);
    siginfo_t next;
    while (take_for_handler(me, &next)) call_handler(next, nullptr);
    run_on_signal_stack(me, (call->action->flags & SA_ONSTACK) != 0, enter_handler, call);
    // It has forked, and this is the child: what it interrupted goes on as a green thread's call.
    if (self == nullptr) activate();
    set_alternate_stack(me, context->uc_stack);  // whatever the handler has set
    context->uc_stack = kernels;
    set_mask(me, to_mask(&context->uc_sigmask));
    // What else is due waits for the next call, not for our next instruction.
    if (interrupted_pc(context) != goes_on) me->interrupt_next_park = true;
    me->uncancelled = uncancelled;
    errno = saved;
}

// `interrupted`: what the kernel saved, and will go back to. Null: at a safe point.
void call_handler(const siginfo_t& info, void* interrupted) {
    int signal = info.si_signo;
    Action action = actions[signal];
    if ((action.flags & SA_RESETHAND) != 0) {
        Action reset = action;  // the flags and the mask stay
        reset.handler = SIG_DFL;
        reset.mask &= ~unblockable();
        kernel_action(signal, &reset, nullptr);
        no_longer_ours(signal);
    }
    siginfo_t copy = info;
    HandlerCall call = {&action, &copy, static_cast<ucontext_t*>(interrupted)};
    if (interrupted != nullptr) return run_handler(&call);
    SignalContext here;
    call.context = &here.context;
    run_with_context(&here, run_handler, &call);
}

// Some signals the kernel sends to the thread that runs: for its own call, or, if it does not block
// them, when the process has used so much of the CPU (setitimer(2), setrlimit(2)). Null: to any.
Thread* meant_for(int signal, const siginfo_t* info) {
    bool of_cpu = signal == SIGPROF || signal == SIGVTALRM || signal == SIGXCPU;
    bool by_itself = (by_own_call & bit(signal)) != 0 && info->si_code == SI_USER &&
                     info->si_pid == sys::invoke(SYS_getpid);
    if (by_itself) return self;
    if (!of_cpu || info->si_code != SI_KERNEL || self == nullptr) return nullptr;
    return (self->blocked & bit(signal)) == 0 ? self : nullptr;
}

void remember(int signal, const siginfo_t* info, void* context) {
    if (arrived_count == queue_size) return;
    arrived[arrived_count++] = {*info, meant_for(signal, info)};
    if (arrived_count > queue_size / 2) {
        held_back = ours & ~faults & ~auditors;
        kernel_mask |= held_back;
        signals_fix_frame(context);
    }
    signals_arrived = true;
    loop_wake();
}

void on_signal(int signal, siginfo_t* info, void* context);

// A fault is the thread's own doing, and who blocks its signal is killed (signal(7)). Where no
// green thread runs, the handler is called as by the kernel.
void on_fault(int signal, siginfo_t* info, void* context) {
    Action action = actions[signal];
    bool green = self != nullptr && !in_spawned_child();
    if (green && (self->blocked & bit(signal)) != 0) {
        kernel_action(signal, &sys::default_action, nullptr);
        return;
    }
    if (!green) {
        HandlerCall call = {&action, info, static_cast<ucontext_t*>(context)};
        return enter_handler(&call);
    }
    sys::signal_mask(SIG_SETMASK, &kernel_mask);
    call_handler(*info, context);
    signals_fix_frame(context);
}

// The handler the kernel knows. All signals are blocked while it runs.
void on_signal(int signal, siginfo_t* info, void* context) {
    bool fault = (faults & bit(signal)) != 0 && info->si_code > 0;
    bool in_code = in_program_code(interrupted_pc(context));
    // In the runtime `self` may be another thread than the one whose stack it is.
    if (fault || in_code) begin_on_signal_stack(on_signal, signal, info, context);
    if (fault) return on_fault(signal, info, context);
    bool stays = self != nullptr && on_fault_stack(__builtin_frame_address(0));
    bool here = active && self != nullptr && !stays && (only_guarded & bit(signal)) == 0 &&
                in_code && (meant_for(signal, info) == self || choose_thread(signal) == self);
    if (owner == nullptr && scheduler_active) {  // it met a kernel thread that is not ours
        long pid = sys::invoke(SYS_getpid);
        long r = sys::invoke(SYS_rt_tgsigqueueinfo, pid, pid, signal, info);
        // The first thread alone may say that somebody called kill(2), or the kernel's codes.
        if (r == -EPERM) sys::invoke(SYS_tgkill, pid, pid, signal);
        return;
    }
    bool others_first = here && is_anything_pending(self);
    if (!here || others_first) remember(signal, info, context);
    if (!here) {
        if (self != nullptr) preempt_for_signals();
        return;
    }
    siginfo_t copy = *info;
    sys::signal_mask(SIG_SETMASK, &kernel_mask);
    if (others_first) {
        run_due_signals(true, context);
    } else {
        call_handler(copy, context);
    }
    signals_fix_frame(context);
}

void install_ours(int signal) {
    const Action& a = actions[signal];
    Action mine = {};
    mine.handler = reinterpret_cast<void (*)(int)>(reinterpret_cast<void*>(on_signal));
    // SA_ONSTACK leads to the fault stack, and from there to the thread's own alternate one.
    unsigned long kept = SA_NOCLDSTOP | SA_NOCLDWAIT | SA_RESTART | SA_ONSTACK;
    mine.flags = (a.flags & kept) | SA_SIGINFO | sys::sa_restorer;
    mine.restorer = sys::green_restore_frame;
    mine.mask = ~context_signals;
    kernel_action(signal, &mine, nullptr);
    ours |= bit(signal);
    only_guarded &= ~bit(signal);
}

// Some threads block these, and the default action is not the kernel's to take any more: it knows
// one mask for all.
void guard_own_calls() {
    for (Mask rest = by_own_call; rest != 0; rest &= rest - 1) {
        int signal = __builtin_ctzll(rest) + 1;
        Mask one = bit(signal);
        Action was = {};
        bool wanted = active && (blocked_by_some & one) != 0 && (ours & one) == 0;
        if (!wanted || kernel_action(signal, nullptr, &was) < 0 || was.handler != SIG_DFL) continue;
        actions[signal] = was;
        install_ours(signal);
        only_guarded |= one;
    }
}

void (*auditors_handler)(int, siginfo_t*, void*) = nullptr;

// The kernel has a handler of this library's: the program's action is in `actions`.
bool is_this_librarys(const Action& a) {
    auto* handler = reinterpret_cast<void*>(a.handler);
    bool audits = auditors != 0 && handler == reinterpret_cast<void*>(auditors_handler);
    return audits || handler == reinterpret_cast<void*>(on_signal);
}

// What is pending of a signal when it becomes ignored is discarded, blocked or not (sigaction(2)).
void discard_pending(int signal) {
    siginfo_t info;
    while (dequeue_signal(&for_process, bit(signal), &info)) {
    }
    for (Thread* t = threads_alive(); t != nullptr; t = t->next_alive) {
        while (dequeue_signal(&t->pending, bit(signal), &info)) {
        }
    }
}

bool ignores(int signal, sighandler_t handler) {
    const Mask by_default = bit(SIGCHLD) | bit(SIGCONT) | bit(SIGURG) | bit(SIGWINCH);
    return handler == SIG_IGN || (handler == SIG_DFL && (by_default & bit(signal)) != 0);
}

bool is_handler(const Action& a) { return a.handler != SIG_DFL && a.handler != SIG_IGN; }

long green_sigaction(int signal, const struct sigaction* act, struct sigaction* old) {
    bool libcs_own = signal == 32 || signal == 33;
    if (signal < 1 || signal >= signal_count || libcs_own) return -EINVAL;
    bool in_child = self == nullptr || in_spawned_child();
    if (act != nullptr) handle_what_came();
    // The kernel is asked, not `ours`: a vfork child has its own actions, but its parent's memory.
    Action was = {};
    long r = kernel_action(signal, nullptr, &was);
    if (r < 0) return r;
    if (is_this_librarys(was)) was = actions[signal];
    auto* handler = reinterpret_cast<void*>(was.handler);
    if (is_overflow_handler(handler) || is_check_handler(handler)) was = {};
    if (act != nullptr) {
        Action a = {act->sa_handler, static_cast<unsigned>(act->sa_flags) | sys::sa_restorer,
                    sys::green_restore_frame,
                    to_mask(&act->sa_mask) & ~bit(SIGKILL) & ~bit(SIGSTOP)};
        bool is_auditors = !in_child && (auditors & bit(signal)) != 0;
        bool wrapped = (faults & ~wrapped_faults & bit(signal)) == 0;
        if (active && !in_child && is_handler(a) && wrapped) {
            if (signal == SIGKILL || signal == SIGSTOP) return -EINVAL;
            actions[signal] = a;
            install_ours(signal);
        } else if (is_auditors) {
            actions[signal] = a;
        } else {
            a.mask &= ~unblockable();
            if (a.handler == SIG_DFL) a.handler = check_handler_for(signal);
            r = kernel_action(signal, &a, nullptr);
            if (r < 0) return r;
            if (!active || !in_child) no_longer_ours(signal);
            if (active && !in_child) guard_own_calls();
            if (active && !in_child && ignores(signal, act->sa_handler)) discard_pending(signal);
        }
    }
    if (old != nullptr) {
        old->sa_handler = was.handler;
        old->sa_flags = static_cast<int>(was.flags);
        old->sa_restorer = was.restorer;
        to_set(was.mask, &old->sa_mask);
    }
    return 0;
}

long green_sigmask(int how, const sigset_t* set, sigset_t* old) {
    if (set != nullptr) safe_point();
    Mask before = self->blocked, told = kernel_mask;
    if (set != nullptr) {
        Mask m = to_mask(set);
        switch (how) {
            case SIG_BLOCK:
                set_mask(self, before | m);
                break;
            case SIG_UNBLOCK:
                set_mask(self, before & ~m);
                break;
            case SIG_SETMASK:
                set_mask(self, m);
                break;
            default:
                return -EINVAL;
        }
    }
    // After a fault's handler, which the kernel itself called, its mask is not what we last told
    // it; siglongjmp(3) comes here to put that right.
    if (set != nullptr && kernel_mask == told) {
        sys::signal_mask(SIG_SETMASK, &kernel_mask);
    }
    if (old != nullptr) to_set(before, old);
    if (is_anything_pending(self)) run_due_signals(true);
    return 0;
}

// Signals that all block stay pending for the kernel thread, which is where signalfd(2) looks.
long leave_to_kernel(siginfo_t* info) {
    return sys::invoke(SYS_rt_tgsigqueueinfo, sys::invoke(SYS_getpid), sys::invoke(SYS_gettid),
                       info->si_signo, info);
}

// Those for the process of which the kernel has one with a lower number, which comes first.
Mask kernels_turn(Mask wanted) {
    Mask in_kernel = 0;
    if (for_process == nullptr) return 0;
    sys::invoke(SYS_rt_sigpending, &in_kernel, sys::mask_size);
    in_kernel &= wanted;
    return in_kernel == 0 ? 0 : ~(in_kernel ^ (in_kernel - 1));
}

// The signals that are pending in the kernel for the calling thread only, not for the process.
Mask directed_in_kernel() {
    char text[sys::status_size];
    const char* pending = sys::status_of_thread("SigPnd", text);
    return pending == nullptr ? 0 : strtoull(pending, nullptr, 16);
}

// What the first thread was sent while it was the only one: from now on the kernel's pending
// signals are for all threads, but these natively no other one sees or takes.
void take_over_directed() {
    constexpr timespec now = {0, 0};
    Mask any = 0;
    sys::invoke(SYS_rt_sigpending, &any, sys::mask_size);
    if (any == 0) return;
    for (;;) {
        Mask directed = directed_in_kernel() & ~read_by_descriptor & ~faults;
        siginfo_t info = {};
        if (directed == 0) return;
        long r = sys::invoke(SYS_rt_sigtimedwait, &directed, &info, &now, sys::mask_size);
        if (sys::failed(r) || !queue_signal(&self->pending, info)) return;
    }
}

}  // namespace

namespace green {

bool run_due_signals(bool restartable, void* interrupted) {
    distribute();
    Thread* me = self;
    me->interrupt_next_park = false;
    bool any = false, ends = false;
    int forks = fork_generation;
    siginfo_t info;
    while (take_for_handler(me, &info)) {
        // The kernel asks the first one only.
        bool restarts = restartable && (actions[info.si_signo].flags & SA_RESTART) != 0;
        if (!any) ends = !restarts;
        any = true;
        call_handler(info, interrupted);
    }
    // In a child, what the call knew of its descriptor was the parent's.
    return ends || fork_generation != forks;
}

bool signal_handlers_installed() { return (ours & ~only_guarded) != 0; }

void handle_what_came() {
    if (self != nullptr && !in_spawned_child()) safe_point();
}

// A signal for one green thread. What has no handler of the program's is the kernel's to act on.
int signal_thread(Thread* t, const siginfo_t& info) {
    int signal = info.si_signo;
    bool libcs_own = signal == 32 || signal == 33;
    if (signal < 0 || signal >= signal_count || libcs_own) return EINVAL;
    if (signal == 0 || t->state == State::ended) return 0;
    bool to_process = (ours & ~only_guarded & bit(signal)) == 0 && (t->blocked & bit(signal)) == 0;
    if (to_process) {
        long pid = sys::invoke(SYS_getpid);
        if ((only_guarded & bit(signal)) != 0) take_default_action(signal);
        return static_cast<int>(-sys::invoke(SYS_tgkill, pid, sys::invoke(SYS_gettid), signal));
    }
    if ((kernel_mask & read_by_descriptor & bit(signal)) != 0) {
        siginfo_t copy = info;
        return static_cast<int>(-leave_to_kernel(&copy));
    }
    if (!give(t, info)) return EAGAIN;
    if (t == self) run_due_signals(true);
    return 0;
}

siginfo_t told_of_own(int signal, int code, sigval value) {
    siginfo_t info = {};
    info.si_signo = signal;
    info.si_code = code;
    info.si_pid = getpid();
    info.si_uid = getuid();
    info.si_value = value;
    return info;
}

int signal_thread(Thread* t, int signal, int code, sigval value) {
    return signal_thread(t, told_of_own(signal, code, value));
}

siginfo_t* pending_of_timer(const Thread* t, int signal, int timer) {
    return queued_of_timer(t->pending, signal, timer);
}

void drop_pending_of_timer(Thread* t, int signal, int timer) {
    drop_of_timer(&t->pending, signal, timer);
}

void signals_await(Mask wanted) {
    self->awaited = wanted;
    if (self->tid != sys::invoke(SYS_getpid)) return;
    awaited_by_first = wanted;
    set_kernel_mask(mask_for_kernel());
}

bool signals_take_awaited(Mask wanted, siginfo_t* info) {
    distribute();
    return dequeue_signal(&self->pending, wanted, info) ||
           dequeue_signal(&for_process, wanted & ~kernels_turn(wanted), info);
}

void signals_read_by_descriptor(Mask read) {
    read_by_descriptor |= read;
    siginfo_t info;
    while (self != nullptr &&
           dequeue_signal(&self->pending, kernel_mask & read_by_descriptor, &info)) {
        leave_to_kernel(&info);
    }
}

Mask signals_read_and_let_in() { return read_by_descriptor & ~kernel_mask; }

SignalsShown::SignalsShown() {
    Mask read = signals_read_and_let_in();
    if (read == 0 || self->pending == nullptr) return;
    shown_ = queued_signals(self->pending) & self->blocked & read;
    if (shown_ == 0) return;
    Mask all = ~context_signals;
    sys::signal_mask(SIG_SETMASK, &all);
    for (Mask rest = shown_; rest != 0; rest &= rest - 1) {
        int signal = __builtin_ctzll(rest) + 1;
        sys::invoke(SYS_tgkill, sys::invoke(SYS_getpid), sys::invoke(SYS_gettid), signal);
    }
}

void SignalsShown::take_back() {
    constexpr timespec now = {0, 0};
    for (; shown_ != 0; shown_ &= shown_ - 1) {
        Mask one = shown_ & -shown_;
        sys::invoke(SYS_rt_sigtimedwait, &one, nullptr, &now, sys::mask_size);
    }
    sys::signal_mask(SIG_SETMASK, &kernel_mask);
}

void signals_fix_frame(void* context) {
    to_set(kernel_mask, &static_cast<ucontext_t*>(context)->uc_sigmask);
}

MaskDuringCall::MaskDuringCall(const sigset_t* mask) {
    if (mask == nullptr) return;
    changed_ = true;
    before_ = self->blocked;
    self->mask_after = &before_;
    set_mask(self, to_mask(mask));
}

MaskDuringCall::~MaskDuringCall() {
    if (!changed_) return;
    self->mask_after = nullptr;
    set_mask(self, before_);
}

void mask_to_kernel() {
    context_pin_fs(true);
    Mask mine = self->blocked & ~auditors;
    sys::signal_mask(SIG_SETMASK, &mine);
}

void mask_from_kernel() {
    sys::signal_mask(SIG_SETMASK, &kernel_mask);
    context_pin_fs(false);
}

void signals_adopt_caller() {
    learn_alternate_stack(owner);
    sys::signal_mask(SIG_BLOCK, nullptr, &owner->blocked);
}

void signals_activate() {
    program_code_prepare();
    sys::signal_mask(SIG_BLOCK, nullptr, &kernel_mask);
    self->blocked = 0;
    self->pending = nullptr;
    memset(blockers, 0, sizeof blockers);
    blocked_by_some = 0;
    threads_with_masks = 1;
    set_mask(self, kernel_mask);
    take_over_directed();
    active = true;
    loop_on_wake = distribute;
    signal_stacks_prepare();
    fs_trap_start();
    set_kernel_mask(mask_for_kernel());
    for (int signal = 1; signal < signal_count; ++signal) {
        if ((faults & ~wrapped_faults & bit(signal)) != 0) continue;
        if (kernel_action(signal, nullptr, &actions[signal]) < 0 || !is_handler(actions[signal])) {
            continue;
        }
        if (!is_overflow_handler(reinterpret_cast<void*>(actions[signal].handler))) {
            install_ours(signal);
        }
    }
    guard_own_calls();
}

void signals_after_fork_in_child() {
    if (!active) return;
    fs_trap_end();
    active = false;
    for (int signal = 1; signal < signal_count; ++signal) {
        if ((ours & bit(signal)) != 0) kernel_action(signal, &actions[signal], nullptr);
    }
    ours = only_guarded = 0;
    arrived_count = 0;
    for_process = nullptr;
    held_back = 0;
    awaited_by_first = 0;
    signals_arrived = false;
    stack_t alternate = alternate_stack_of(owner);
    sys::invoke(SYS_sigaltstack, &alternate, nullptr);
    Mask mine = owner->blocked;
    owner->pending = nullptr;
    sys::signal_mask(SIG_SETMASK, &mine);
}

void signals_take_sigsys(void (*handler)(int, siginfo_t*, void*)) {
    kernel_action(SIGSYS, nullptr, &actions[SIGSYS]);
    auditors = bit(SIGSYS);
    auditors_handler = handler;
    set_kernel_mask(kernel_mask);
    Action a = {};
    a.handler = reinterpret_cast<void (*)(int)>(reinterpret_cast<void*>(handler));
    a.flags = SA_SIGINFO | SA_NODEFER | sys::sa_restorer;
    a.restorer = sys::green_restore_frame;
    kernel_action(SIGSYS, &a, nullptr);
}

void signals_pass_sigsys(siginfo_t* info, void* context) {
    const Action& a = actions[SIGSYS];
    HandlerCall call = {&a, info, static_cast<ucontext_t*>(context)};
    if (is_handler(a)) return enter_handler(&call);
    bool sent = info->si_code <= 0;
    if (sent && a.handler == SIG_IGN) return;
    kernel_action(SIGSYS, &sys::default_action, nullptr);
    sys::raise(SIGSYS);
}

long signals_sigsys_action(const sys::SignalAction* act, sys::SignalAction* old) {
    Action was = actions[SIGSYS];
    if (act != nullptr) actions[SIGSYS] = *act;
    if (old != nullptr) *old = was;
    return 0;
}

void signals_give_sigsys_back() {
    if (auditors == 0) return;
    auditors = 0;
    kernel_action(SIGSYS, &actions[SIGSYS], nullptr);
    set_kernel_mask(mask_for_kernel());
}

void signals_thread_begins(Thread* t) {
    ++threads_with_masks;
    count_mask(t->blocked, 1);
    if ((blocked_by_some & by_own_call & ~ours) != 0) guard_own_calls();
    set_kernel_mask(mask_for_kernel());
    changed_mask(t, 0, ~t->blocked);
}

void signals_thread_ends(Thread* t) {
    if (!active) return;
    --threads_with_masks;
    count_mask(t->blocked, -1);
    set_kernel_mask(mask_for_kernel());
    siginfo_t info;
    while (dequeue_signal(&t->pending, ~Mask{0}, &info)) {
    }
    changed_mask(t, ~Mask{0}, 0);
}

}  // namespace green

HOOK(int, sigaction, (int signal, const struct sigaction* act, struct sigaction* old), redirected) {
    return static_cast<int>(result(green_sigaction(signal, act, old)));
}
HOOK_ALIAS(__sigaction, sigaction, redirected)

// signal(3), BSD semantics as in glibc: the handler stays, calls are restarted.
HOOK(sighandler_t, signal, (int signal, sighandler_t handler), redirected) {
    struct sigaction act = {}, old = {};
    act.sa_handler = handler;
    act.sa_flags = SA_RESTART;
    sigemptyset(&act.sa_mask);
    if (signal >= 1 && signal < signal_count) sigaddset(&act.sa_mask, signal);
    long r = green_sigaction(signal, handler == SIG_ERR ? nullptr : &act, &old);
    if (handler == SIG_ERR) r = -EINVAL;
    return result(r) < 0 ? SIG_ERR : old.sa_handler;
}

HOOK(int, pthread_sigmask, (int how, const sigset_t* set, sigset_t* old), redirected) {
    bool green = self != nullptr && !in_spawned_child();
    if (green) return static_cast<int>(-green_sigmask(how, set, old));
    Mask m = set == nullptr ? 0 : to_mask(set) & ~(bit(32) | bit(33) | auditors);
    if (old != nullptr) sigemptyset(old);
    return static_cast<int>(-sys::signal_mask(how, set == nullptr ? nullptr : &m, old));
}

HOOK(int, sigprocmask, (int how, const sigset_t* set, sigset_t* old), redirected) {
    return static_cast<int>(result(-hook_pthread_sigmask(how, set, old)));
}

HOOK(int, sigpending, (sigset_t * set), redirected) {
    sigemptyset(set);
    long r = sys::invoke(SYS_rt_sigpending, set, sys::mask_size);
    if (r == 0 && self != nullptr) {
        Mask queued = queued_signals(self->pending) | queued_signals(for_process);
        to_set(to_mask(set) | (queued & self->blocked), set);
    }
    return static_cast<int>(result(r));
}
