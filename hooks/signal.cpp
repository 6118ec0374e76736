// Signals (signal(7)): handlers run at safe points, in a green thread that has not blocked them.
//
// While there are green threads, every handler the program installs is kept here, and the kernel
// gets a tiny one of ours in its place:
//
//     kernel --> on_signal: into a queue, wake the loop
//                     loop, or the next hook --> choose a thread (main first) --> its list, unpark
//                                                     the thread, its wait taken down --> handler
//
// So a handler runs on its thread's own stack, may block, park and siglongjmp, and the call it
// interrupted returns EINTR or goes on as SA_RESTART says. A signal that arrives while the chosen
// thread runs the program's own code (not libc's or ours) is handled right there, as natively.
//
// Each green thread has its own mask. The kernel's mask is what all of them block: such a signal
// stays pending in the kernel, where sigwait(3) and signalfd(2) find it. Signals that a thread
// raises by a fault of its own (SIGSEGV ...) are never touched, nor are default and ignoring
// actions: those are the kernel's.

#include "hooks/signal.h"

#include <pthread.h>
#include <string.h>
#include <ucontext.h>
#include <unistd.h>

#include "hooks/activate.h"
#include "hooks/program_code.h"
#include "hooks/wait.h"
#include "runtime/loop.h"

using namespace green;

extern "C" void green_restore_frame();

namespace green {
volatile bool signals_arrived = false;
}

namespace {

constexpr int signal_count = 65;
constexpr size_t mask_size = 8;

// The kernel's view of a sigset_t: one bit per signal, from bit 0.
using Mask = uint64_t;

Mask bit(int signal) { return Mask{1} << (signal - 1); }
Mask to_mask(const sigset_t* set) {
    Mask m;
    memcpy(&m, set, sizeof m);
    return m;
}
void to_set(Mask m, sigset_t* set) {
    sigemptyset(set);
    memcpy(set, &m, sizeof m);
}

// glibc keeps two signals for itself, and SIGKILL and SIGSTOP cannot be blocked.
const Mask never_blocked = bit(32) | bit(33) | bit(SIGKILL) | bit(SIGSTOP);
const Mask faults =
    bit(SIGSEGV) | bit(SIGBUS) | bit(SIGFPE) | bit(SIGILL) | bit(SIGTRAP) | bit(SIGSYS);

// rt_sigaction(2)'s structure, which is not libc's.
struct Action {
    void (*handler)(int);
    unsigned long flags;
    void (*restorer)();
    Mask mask;
};
#if defined(__x86_64__)
constexpr unsigned long sa_restorer = 0x04000000;
#else
constexpr unsigned long sa_restorer = 0;  // the kernel has a return of its own, in the vDSO
#endif

struct Queued {
    siginfo_t info;
    Queued* next;
};

struct Arrived {
    siginfo_t info;
    Thread* thread;  // whom it is for; null: for the process
};
constexpr int queue_size = 256;

bool active = false;
Action actions[signal_count];  // the program's, where `ours` says that the kernel has on_signal
Mask ours = 0;
Mask kernel_mask = 0;             // what was last told to the kernel
unsigned blockers[signal_count];  // how many threads block each signal
Mask blocked_by_some = 0;
unsigned threads_with_masks = 0;  // of all alive

// Written by the real handler, emptied at safe points with signals blocked.
Arrived arrived[queue_size];
int arrived_count = 0;

Queued* pool_free = nullptr;
Queued pool[queue_size];

long set_action(int signal, const Action* action, Action* old) {
    return sys::invoke(SYS_rt_sigaction, signal, action, old, mask_size);
}

void set_kernel_mask(Mask m) {
    if (m == kernel_mask) return;
    kernel_mask = m;
    sys::invoke(SYS_rt_sigprocmask, SIG_SETMASK, &m, nullptr, mask_size);
}

class AllBlocked {
  public:
    AllBlocked() {
        Mask all = ~Mask{0};
        sys::invoke(SYS_rt_sigprocmask, SIG_SETMASK, &all, nullptr, mask_size);
    }
    ~AllBlocked() {
        sys::invoke(SYS_rt_sigprocmask, SIG_SETMASK, &kernel_mask, nullptr, mask_size);
    }
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

void count_mask(Mask m, int by) {
    for (; m != 0; m &= m - 1) {
        int signal = __builtin_ctzll(m) + 1;
        blockers[signal] += static_cast<unsigned>(by);
        blocked_by_some =
            blockers[signal] == 0 ? blocked_by_some & ~bit(signal) : blocked_by_some | bit(signal);
    }
}

// A thread's mask changes; the kernel is told if that changes what all threads block.
void set_mask(Thread* t, Mask m) {
    m &= ~never_blocked;
    Mask before = t->blocked;
    if (m == before) return;
    t->blocked = m;
    count_mask(m & ~before, 1);
    count_mask(before & ~m, -1);
    set_kernel_mask(blocked_by_all());
}

Thread* choose_thread(int signal) {
    Thread* last = nullptr;  // the list's newest thread comes first, so the oldest one wins
    for (Thread* t = threads_alive(); t != nullptr; t = t->next_alive) {
        if ((t->blocked & bit(signal)) == 0 && !t->exiting) last = t;
    }
    return last;
}

// Appends to a thread's own list. A standard signal that is pending already is not queued again.
void give(Thread* t, const siginfo_t& info) {
    Queued** end = reinterpret_cast<Queued**>(&t->pending);
    for (; *end != nullptr; end = &(*end)->next) {
        if (info.si_signo < SIGRTMIN && (*end)->info.si_signo == info.si_signo) return;
    }
    Queued* q = pool_free;
    if (q == nullptr) return;  // as when the kernel's own queue is full (RLIMIT_SIGPENDING)
    pool_free = q->next;
    q->info = info;
    q->next = nullptr;
    *end = q;
    if (((~t->blocked | t->awaited) & bit(info.si_signo)) != 0) interrupt(t);
}

// The first signal in a thread's list that `mask` allows, taken out.
bool take(Thread* t, Mask allowed, siginfo_t* info) {
    for (auto** at = reinterpret_cast<Queued**>(&t->pending); *at != nullptr; at = &(*at)->next) {
        Queued* q = *at;
        if ((bit(q->info.si_signo) & allowed) == 0) continue;
        *info = q->info;
        *at = q->next;
        q->next = pool_free;
        pool_free = q;
        return true;
    }
    return false;
}

// From the queue of the real handler to the threads. In a hook or in the loop.
void distribute() {
    if (!signals_arrived) return;
    AllBlocked scope;
    signals_arrived = false;
    for (int i = 0; i < arrived_count; ++i) {
        Thread* t = arrived[i].thread;
        if (t == nullptr) t = choose_thread(arrived[i].info.si_signo);
        // Blocked meanwhile by all: the first thread keeps it until it unblocks it.
        if (t == nullptr) t = threads_alive();
        if (t != nullptr) give(t, arrived[i].info);
    }
    arrived_count = 0;
}

struct HandlerCall {
    const Action* action;
    siginfo_t* info;
    void* context;
};

void enter_handler(HandlerCall* call) {
    if ((call->action->flags & SA_SIGINFO) == 0) return call->action->handler(call->info->si_signo);
    auto with_info = reinterpret_cast<void (*)(int, siginfo_t*, void*)>(
        reinterpret_cast<void*>(call->action->handler));
    with_info(call->info->si_signo, call->info, call->context);
}

// Calls the handler on the thread's alternate stack, if it asked for that and is not on it already.
void enter_handler_on_its_stack(Thread* me, HandlerCall* call) {
    auto* low = static_cast<char*>(me->alternate_stack);
    auto* here = static_cast<char*>(__builtin_frame_address(0));
    bool on_it = here >= low && here < low + me->alternate_size;
    if ((call->action->flags & SA_ONSTACK) == 0 || me->alternate_size == 0 || on_it) {
        return enter_handler(call);
    }
#if defined(__x86_64__)
    auto top = reinterpret_cast<uintptr_t>(low + me->alternate_size) & ~uintptr_t{15};
    asm volatile(
        "movq %%rsp, %%rbx\n"
        "movq %[top], %%rsp\n"
        "call *%[enter]\n"
        "movq %%rbx, %%rsp\n"
        : "+D"(call)
        : [top] "r"(top), [enter] "r"(enter_handler)
        : "rbx", "rax", "rcx", "rdx", "rsi", "r8", "r9", "r10", "r11", "memory", "cc");
#endif
}

void call_handler(Thread* me, const siginfo_t& info, const Action& action, void* context) {
    int signal = info.si_signo, saved = errno;
    Mask before = me->blocked;
    if ((action.flags & SA_RESETHAND) != 0) {
        Action def = {SIG_DFL, sa_restorer, green_restore_frame, 0};
        set_action(signal, &def, nullptr);
        ours &= ~bit(signal);
    }
    set_mask(me, before | action.mask | ((action.flags & SA_NODEFER) != 0 ? 0 : bit(signal)));
    siginfo_t copy = info;
    HandlerCall call = {&action, &copy, context};
    enter_handler_on_its_stack(me, &call);
    set_mask(me, before);
    errno = saved;
}

// The handler the kernel knows. All signals are blocked while it runs.
void on_signal(int signal, siginfo_t* info, void* context) {
    if (active && self != nullptr && in_program_code(interrupted_pc(context)) &&
        choose_thread(signal) == self) {
        siginfo_t copy = *info;
        sys::invoke(SYS_rt_sigprocmask, SIG_SETMASK, &kernel_mask, nullptr, mask_size);
        call_handler(self, copy, actions[signal], context);
        signals_fix_frame(context);
        return;
    }
    if (arrived_count == queue_size) return;
    // The kernel sends SIGPIPE to the thread that writes, which is the one that runs now.
    arrived[arrived_count++] = {*info, signal == SIGPIPE ? self : nullptr};
    signals_arrived = true;
    loop_wake();
}

void install_ours(int signal) {
    const Action& a = actions[signal];
    Action mine = {};
    mine.handler = reinterpret_cast<void (*)(int)>(reinterpret_cast<void*>(on_signal));
    // Not SA_ONSTACK: the kernel's alternate stack may be another thread's, or in use by a handler
    // that is parked. enter_handler_on_its_stack() goes to the right one.
    constexpr unsigned long kept = SA_NOCLDSTOP | SA_NOCLDWAIT | SA_RESTART;
    mine.flags = (a.flags & kept) | SA_SIGINFO | sa_restorer;
    mine.restorer = green_restore_frame;
    mine.mask = ~Mask{0};
    set_action(signal, &mine, nullptr);
    ours |= bit(signal);
}

bool is_on_signal(const Action& a) {
    return reinterpret_cast<void*>(a.handler) == reinterpret_cast<void*>(on_signal);
}

bool is_handler(const Action& a) { return a.handler != SIG_DFL && a.handler != SIG_IGN; }

long green_sigaction(int signal, const struct sigaction* act, struct sigaction* old) {
    bool libcs_own = signal == 32 || signal == 33;
    if (signal < 1 || signal >= signal_count || libcs_own) return -EINVAL;
    // The kernel is asked, not `ours`: a vfork child has its own actions, but its parent's memory.
    Action was = {};
    long r = set_action(signal, nullptr, &was);
    if (r < 0) return r;
    if (is_on_signal(was)) was = actions[signal];
    if (act != nullptr) {
        Action a = {act->sa_handler, static_cast<unsigned>(act->sa_flags) | sa_restorer,
                    green_restore_frame, to_mask(&act->sa_mask)};
        bool in_child = self == nullptr || in_spawned_child();
        if (active && !in_child && is_handler(a) && (faults & bit(signal)) == 0) {
            if (signal == SIGKILL || signal == SIGSTOP) return -EINVAL;
            actions[signal] = a;
            install_ours(signal);
        } else {
            r = set_action(signal, &a, nullptr);
            if (r < 0) return r;
            if (!active || !in_child) ours &= ~bit(signal);
        }
    }
    if (old != nullptr) {
        old->sa_handler = was.handler;
        old->sa_flags = static_cast<int>(was.flags & ~sa_restorer);
        old->sa_restorer = was.restorer;
        to_set(was.mask, &old->sa_mask);
    }
    return 0;
}

long green_sigmask(int how, const sigset_t* set, sigset_t* old) {
    Mask before = self->blocked;
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
    if (set != nullptr) {
        sys::invoke(SYS_rt_sigprocmask, SIG_SETMASK, &kernel_mask, nullptr, mask_size);
    }
    if (old != nullptr) to_set(before, old);
    if (self->pending != nullptr || signals_arrived) run_due_signals(true);
    return 0;
}

// A signal for one green thread. What has no handler of the program's is the kernel's to act on.
int send_to_thread(Thread* t, int signal, int code, sigval value) {
    if (signal < 0 || signal >= signal_count) return EINVAL;
    if (signal == 0 || t->state == State::ended) return 0;
    bool to_process = (ours & bit(signal)) == 0 && (t->blocked & bit(signal)) == 0;
    if (to_process) {
        long pid = sys::invoke(SYS_getpid);
        return static_cast<int>(-sys::invoke(SYS_tgkill, pid, sys::invoke(SYS_gettid), signal));
    }
    siginfo_t info = {};
    info.si_signo = signal;
    info.si_code = code;
    info.si_pid = getpid();
    info.si_uid = getuid();
    info.si_value = value;
    give(t, info);
    if (t == self) run_due_signals(true);
    return 0;
}

// sigtimedwait(2): the signals of `set` are blocked; they are pending in this thread, or in the
// kernel.
long wait_for_signal(const sigset_t* set, siginfo_t* info, sys::Deadline deadline) {
    cancellation_point();
    Mask wanted = to_mask(set) & ~never_blocked;
    constexpr timespec now = {0, 0};
    int fd = -1;
    struct Waiting {
        int* fd;
        ~Waiting() {
            self->awaited = 0;
            if (*fd < 0) return;
            fd_forget(*fd);
            sys::invoke(SYS_close, *fd);
        }
    } waiting{&fd};
    self->awaited = wanted;
    for (;;) {
        siginfo_t found = {};
        distribute();
        long r = take(self, wanted, &found)
                     ? found.si_signo
                     : sys::invoke(SYS_rt_sigtimedwait, &wanted, &found, &now, mask_size);
        if (r > 0 && info != nullptr) *info = found;
        if (r != -EAGAIN || deadline == 0) return r;
        if (fd < 0) {
            fd = static_cast<int>(sys::invoke(SYS_signalfd4, -1, &wanted, mask_size, O_CLOEXEC));
            if (fd < 0) return fd;
            fd_created(fd, FdKind::poll_first, false);
        }
        Wake why = wait_fd(fd, EPOLLIN, deadline);
        if (why == Wake::timed_out) deadline = 0;
        if (why == Wake::interrupted && interruption_ends_call(false)) return -EINTR;
    }
}

// sigsuspend(2) and pause(2): until a handler has run.
long wait_for_handler() {
    cancel_if_pending();
    if (safe_point()) return -EINTR;
    for (;;) {
        if (park(Park::sleep) == Wake::interrupted && interruption_ends_call(false)) return -EINTR;
    }
}

}  // namespace

// The kernel returns from a handler through this; unwinders know it by these very bytes.
asm(".pushsection .text\n"
    ".hidden green_restore_frame\n"
    ".globl green_restore_frame\n"
    ".type green_restore_frame, @function\n"
    "    nop\n"
    "green_restore_frame:\n"
#if defined(__x86_64__)
    "    .byte 0x48, 0xc7, 0xc0, 0x0f, 0x00, 0x00, 0x00, 0x0f, 0x05\n"  // mov $15,%rax; syscall
#endif
    ".popsection\n");

namespace green {

bool run_due_signals(bool restartable) {
    distribute();
    Thread* me = self;
    me->interrupt_next_park = false;
    bool ends = false;
    siginfo_t info;
    while (take(me, ~me->blocked, &info)) {
        int signal = info.si_signo;
        if ((ours & bit(signal)) == 0) {  // the action changed while it was on its way
            sys::invoke(SYS_tgkill, sys::invoke(SYS_getpid), sys::invoke(SYS_gettid), signal);
            continue;
        }
        Action action = actions[signal];
        ends = ends || !restartable || (action.flags & SA_RESTART) == 0;
        ucontext_t context = {};
        to_set(me->blocked, &context.uc_sigmask);
        call_handler(me, info, action, &context);
    }
    return ends;
}

int signal_thread(Thread* t, int signal, int code, sigval value) {
    return send_to_thread(t, signal, code, value);
}

void signals_fix_frame(void* context) {
    to_set(kernel_mask, &static_cast<ucontext_t*>(context)->uc_sigmask);
}

MaskDuringCall::MaskDuringCall(const sigset_t* mask) {
    if (mask == nullptr) return;
    changed_ = true;
    before_ = self->blocked;
    set_mask(self, to_mask(mask));
    // What this mask lets in must interrupt the call, also if it was pending before.
    if (self->pending != nullptr) {
        for (auto* q = static_cast<Queued*>(self->pending); q != nullptr; q = q->next) {
            if ((self->blocked & bit(q->info.si_signo)) == 0) interrupt(self);
        }
    }
}

MaskDuringCall::~MaskDuringCall() {
    if (changed_) set_mask(self, before_);
}

void mask_to_kernel() {
    sys::invoke(SYS_rt_sigprocmask, SIG_SETMASK, &self->blocked, nullptr, mask_size);
}

void mask_from_kernel() {
    sys::invoke(SYS_rt_sigprocmask, SIG_SETMASK, &kernel_mask, nullptr, mask_size);
}

void signals_activate() {
    for (int i = 0; i < queue_size; ++i) {
        pool[i].next = pool_free;
        pool_free = &pool[i];
    }
    program_code_prepare();
    sys::invoke(SYS_rt_sigprocmask, SIG_BLOCK, nullptr, &kernel_mask, mask_size);
    self->blocked = 0;
    self->pending = nullptr;
    memset(blockers, 0, sizeof blockers);
    blocked_by_some = 0;
    threads_with_masks = 1;
    set_mask(self, kernel_mask);
    active = true;
    loop_on_wake = distribute;
    for (int signal = 1; signal < signal_count; ++signal) {
        if ((faults & bit(signal)) != 0) continue;
        if (set_action(signal, nullptr, &actions[signal]) == 0 && is_handler(actions[signal])) {
            install_ours(signal);
        }
    }
}

void signals_after_fork_in_child() {
    if (!active) return;
    active = false;
    for (int signal = 1; signal < signal_count; ++signal) {
        if ((ours & bit(signal)) != 0) set_action(signal, &actions[signal], nullptr);
    }
    ours = 0;
    arrived_count = 0;
    signals_arrived = false;
    pool_free = nullptr;
    Mask mine = owner->blocked;
    owner->pending = nullptr;
    sys::invoke(SYS_rt_sigprocmask, SIG_SETMASK, &mine, nullptr, mask_size);
}

void signals_thread_begins(Thread* t) {
    ++threads_with_masks;
    count_mask(t->blocked, 1);
    set_kernel_mask(blocked_by_all());
}

void signals_thread_ends(Thread* t) {
    if (!active) return;
    siginfo_t unused;
    while (take(t, ~Mask{0}, &unused)) {
    }
    // The memory may be gone with the thread; a fault must not be handled on it.
    if (t->alternate_size != 0) {
        stack_t none = {nullptr, SS_DISABLE, 0};
        sys::invoke(SYS_sigaltstack, &none, nullptr);
    }
    --threads_with_masks;
    count_mask(t->blocked, -1);
    set_kernel_mask(blocked_by_all());
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
    Mask m = set == nullptr ? 0 : to_mask(set) & ~(bit(32) | bit(33));
    if (old != nullptr) sigemptyset(old);
    return static_cast<int>(
        -sys::invoke(SYS_rt_sigprocmask, how, set == nullptr ? nullptr : &m, old, mask_size));
}

HOOK(int, sigprocmask, (int how, const sigset_t* set, sigset_t* old), redirected) {
    return static_cast<int>(result(-hook_pthread_sigmask(how, set, old)));
}

HOOK(int, sigpending, (sigset_t * set), redirected) {
    sigemptyset(set);
    long r = sys::invoke(SYS_rt_sigpending, set, mask_size);
    if (r == 0 && self != nullptr) {
        for (auto* q = static_cast<Queued*>(self->pending); q != nullptr; q = q->next) {
            sigaddset(set, q->info.si_signo);
        }
    }
    return static_cast<int>(result(r));
}

HOOK(int, kill, (pid_t pid, int signal), redirected) {
    long r = sys::invoke(SYS_kill, pid, signal);
    if (self != nullptr && signals_arrived) run_due_signals(true);
    return static_cast<int>(result(r));
}

HOOK(int, raise, (int signal), redirected) {
    if (self == nullptr) {
        long pid = sys::invoke(SYS_getpid), tid = sys::invoke(SYS_gettid);
        return static_cast<int>(result(sys::invoke(SYS_tgkill, pid, tid, signal)));
    }
    return static_cast<int>(result(-send_to_thread(self, signal, SI_TKILL, {})));
}

ORIGINAL(int, pthread_kill, (pthread_t, int), nullptr)
ORIGINAL(int, pthread_sigqueue, (pthread_t, int, const sigval), nullptr)

HOOK(int, pthread_kill, (pthread_t which, int signal), interposed) {
    Thread* t = owner == nullptr ? nullptr : thread_of(reinterpret_cast<void*>(which));
    if (self == nullptr || t == nullptr) return original_pthread_kill()(which, signal);
    return send_to_thread(t, signal, SI_TKILL, {});
}

HOOK(int, pthread_sigqueue, (pthread_t which, int signal, const sigval value), interposed) {
    Thread* t = owner == nullptr ? nullptr : thread_of(reinterpret_cast<void*>(which));
    if (self == nullptr || t == nullptr) return original_pthread_sigqueue()(which, signal, value);
    return send_to_thread(t, signal, SI_QUEUE, value);
}

HOOK(int, sigtimedwait, (const sigset_t* set, siginfo_t* info, const timespec* time), redirected) {
    if (self == nullptr) {
        return static_cast<int>(
            result(sys::invoke(SYS_rt_sigtimedwait, set, info, time, mask_size)));
    }
    if (time != nullptr && !valid(time)) return static_cast<int>(result(-EINVAL));
    bool no_wait = time != nullptr && time->tv_sec == 0 && time->tv_nsec == 0;
    return static_cast<int>(result(wait_for_signal(set, info, no_wait ? 0 : deadline_in(time))));
}
HOOK_ALIAS(__sigtimedwait, sigtimedwait, redirected)

HOOK(int, sigwaitinfo, (const sigset_t* set, siginfo_t* info), redirected) {
    return hook_sigtimedwait(set, info, nullptr);
}

// sigwait(3) returns an error number and is not interrupted by handlers.
HOOK(int, sigwait, (const sigset_t* set, int* signal), redirected) {
    int saved = errno, r;
    do {
        r = hook_sigtimedwait(set, nullptr, nullptr);
    } while (r < 0 && errno == EINTR);
    int error = r < 0 ? errno : 0;
    errno = saved;
    if (r > 0) *signal = r;
    return error;
}

HOOK(int, sigsuspend, (const sigset_t* set), redirected) {
    if (self == nullptr)
        return static_cast<int>(result(sys::invoke(SYS_rt_sigsuspend, set, mask_size)));
    MaskDuringCall scope(set);
    return static_cast<int>(result(wait_for_handler()));
}
HOOK_ALIAS(__sigsuspend, sigsuspend, redirected)

HOOK(int, pause, (), redirected) {
    if (self == nullptr)
        return static_cast<int>(result(sys::invoke(SYS_ppoll, nullptr, 0, nullptr, nullptr, 0)));
    return static_cast<int>(result(wait_for_handler()));
}

// Each thread has an alternate stack of its own, none at first; the kernel knows the last one set.
HOOK(int, sigaltstack, (const stack_t* stack, stack_t* old), redirected) {
    if (self == nullptr) return static_cast<int>(result(sys::invoke(SYS_sigaltstack, stack, old)));
    stack_t was = {self->alternate_stack, self->alternate_size == 0 ? SS_DISABLE : 0,
                   self->alternate_size};
    if (stack != nullptr) {
        long r = sys::invoke(SYS_sigaltstack, stack, nullptr);
        if (r < 0) return static_cast<int>(result(r));
        bool off = (stack->ss_flags & SS_DISABLE) != 0;
        self->alternate_stack = off ? nullptr : stack->ss_sp;
        self->alternate_size = off ? 0 : stack->ss_size;
    }
    if (old != nullptr) *old = was;
    return 0;
}
