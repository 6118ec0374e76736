// The handler before all handlers of SIGSEGV: see fs_trap.h for what it is good for.

#include "hooks/fs_trap.h"

#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "runtime/context.h"
#include "runtime/thread.h"
#include "runtime/thread_block.h"

namespace green {

bool fs_trap_wanted = true;
uint64_t fs_repairs = 0;

#if defined(__x86_64__)

namespace {

using Action = sys::SignalAction;
using Handler = void (*)(int, siginfo_t*, void*);

constexpr uint64_t sigsegv = uint64_t{1} << (SIGSEGV - 1);

// What a base in the middle of it leads to, as far as thread blocks reach both ways.
char* trap = nullptr;
size_t trap_size = 0;

bool trapping = false;
long process = 0;  // in which
Action behind;     // what the program, or the rest of this library, wants for SIGSEGV

template <class Function>
Action action_of(Function* handler, unsigned long flags, uint64_t mask) {
    return {reinterpret_cast<void (*)(int)>(reinterpret_cast<void*>(handler)),
            flags | SA_SIGINFO | sys::sa_restorer, sys::green_restore_frame, mask};
}

void on_trap(int signal, siginfo_t* info, void* context);

// SA_ONSTACK: the fault stack (signal.cpp) is there, whatever the thread's own looks like. Nobody
// else's handler may begin there.
void install() {
    unsigned long kept = SA_ONSTACK | SA_RESTART;
    Action mine = action_of(on_trap, (behind.flags & kept) | SA_NODEFER, ~sigsegv);
    if (behind.handler == SIG_DFL || behind.handler == SIG_IGN) mine.flags |= SA_ONSTACK;
    sys::signal_action(SIGSEGV, &mine, nullptr);
}

// What the kernel would do with `behind`.
void pass_on(siginfo_t* info, void* context) {
    bool sent = info->si_code <= 0;
    if (sent && behind.handler == SIG_IGN) return;
    if (behind.handler == SIG_DFL || behind.handler == SIG_IGN) {
        sys::signal_action(SIGSEGV, &sys::default_action, nullptr);
        if (!sent) return;  // it comes again by itself
        sys::raise(SIGSEGV);
        return;
    }
    auto* handler = reinterpret_cast<void*>(behind.handler);
    if ((behind.flags & SA_RESETHAND) != 0) behind = sys::default_action;
    reinterpret_cast<Handler>(handler)(SIGSEGV, info, context);
}

// The same instruction again: it may be that at each step the kernel runs somebody else, a tracer.
// It is told the base, until the next switch.
void tell_kernel_if_it_repeats(const ucontext_t* context) {
    static greg_t last_pc = 0, last_sp = 0;
    greg_t pc = context->uc_mcontext.gregs[REG_RIP], sp = context->uc_mcontext.gregs[REG_RSP];
    if (pc == last_pc && sp == last_sp) context_tell_kernel_fs();
    last_pc = pc;
    last_sp = sp;
}

// Nothing before the repair may use the FS base. Another handler's may have come first.
void on_trap(int, siginfo_t* info, void* context) {
    bool lost = context_repair_fs();
    auto distance = static_cast<char*>(info->si_addr) - (trap - trap_size);
    bool here = distance >= 0 && static_cast<size_t>(distance) < 2 * trap_size;
    if (info->si_code <= 0 || (!lost && !here)) return pass_on(info, context);
    ++fs_repairs;
    tell_kernel_if_it_repeats(static_cast<ucontext_t*>(context));
}

constexpr int rdfsbase_size = 5;
void skip_it(int, siginfo_t*, void* context) {
    static_cast<ucontext_t*>(context)->uc_mcontext.gregs[REG_RIP] += rdfsbase_size;
}

// Whether user mode may set the base: if it may read it.
bool instruction_works() {
    constexpr uint64_t sigill = uint64_t{1} << (SIGILL - 1);
    Action before = {}, mine = action_of(skip_it, 0, 0);
    uint64_t mask = 0;
    if (sys::signal_action(SIGILL, &mine, &before) != 0) return false;
    sys::signal_mask(SIG_UNBLOCK, &sigill, &mask);
    void* fs = nullptr;
    asm volatile("rdfsbase %0" : "+r"(fs));
    sys::signal_mask(SIG_SETMASK, &mask);
    sys::signal_action(SIGILL, &before, nullptr);
    return fs == __builtin_thread_pointer();
}

bool is_traced() {
    char text[sys::status_size];
    const char* tracer = sys::status_of_thread("TracerPid", text);
    return tracer == nullptr || strncmp(tracer, "0\n", 2) != 0;
}

bool make_trap() {
    constexpr size_t more = size_t{1} << 20;
    trap_size = (thread_block_size() + more) / more * more;
    long memory = sys::invoke(SYS_mmap, nullptr, 2 * trap_size, PROT_NONE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (sys::failed(memory)) return false;
    trap = reinterpret_cast<char*>(memory) + trap_size;
    return true;
}

}  // namespace

void fs_trap_start() {
    if (!fs_trap_wanted || !context_calls_for_fs() || is_traced()) return;
    if (trap == nullptr && (!instruction_works() || !make_trap())) return;
    if (sys::signal_action(SIGSEGV, nullptr, &behind) != 0) return;
    trapping = true;
    process = sys::invoke(SYS_getpid);
    install();
    sys::signal_mask(SIG_UNBLOCK, &sigsegv);
    context_trap_fs(trap);
}

void fs_trap_end() {
    if (!trapping) return;
    context_trap_fs(nullptr);
    trapping = false;
    sys::signal_action(SIGSEGV, &behind, nullptr);
}

// A child that borrows our memory until it executes has its own actions.
long kernel_action(int signal, const Action* action, Action* old) {
    if (trapping && signal == SIGSEGV && sys::invoke(SYS_getpid) == process) {
        if (old != nullptr) *old = behind;
        if (action == nullptr) return 0;
        behind = *action;
        install();
        return 0;
    }
    long r = sys::signal_action(signal, action, old);
    bool is_ours = trapping && old != nullptr && signal == SIGSEGV &&
                   reinterpret_cast<void*>(old->handler) == reinterpret_cast<void*>(on_trap);
    if (is_ours) *old = behind;
    return r;
}

#else

void fs_trap_start() {}
void fs_trap_end() {}
long kernel_action(int signal, const sys::SignalAction* action, sys::SignalAction* old) {
    return sys::signal_action(signal, action, old);
}

#endif

KernelKnowsFs::KernelKnowsFs() : pinned_(self != nullptr) {
    if (pinned_) context_pin_fs(true);
}
KernelKnowsFs::~KernelKnowsFs() {
    if (pinned_) context_pin_fs(false);
}

}  // namespace green
