// An oracle for tests: every system call that is not made from this library's text is looked at.
//
// Syscall User Dispatch (prctl(2), PR_SET_SYSCALL_USER_DISPATCH, Linux 5.11) turns a system call
// from outside one address range into SIGSYS. The range is our own text: what a hook asks of the
// kernel costs nothing more, and what libc, a library or the program asks there itself comes here:
//
//     hook ------------------------------------------------------> kernel
//     libc, program: syscall --> SIGSYS --> could it wait? noted --> kernel, from our text
//
// The same trap, with nothing noted, is how threads of GNU OpenMP wait when green threads were
// there before them (catch_inline_futexes()): a futex(2) of the program's own code goes to the
// hook, which parks the thread inside the handler, on the thread's own stack, as a preemption does.
//
// A trap costs 1.3 us, with all that is done here 2. Which calls could wait is audit_rules.cpp's to
// say; it matters only while a second green thread lives. The call is then made here, with the
// arguments of the signal frame. A few cannot be made in a handler, because they change what its
// return restores, or because they return twice on other stacks: see perform().
//
// The kernel keeps the setting for one kernel thread. It is not inherited by clone(2), so the
// offload pool, children and their like are not audited; a forked child is again from its first
// thread on. SIGSYS must not be blocked when a call is trapped, for the kernel then kills the
// process: hooks/signal.cpp leaves it out of every mask, and passes on to the program what is not
// ours (ruby handles SIGSYS; a seccomp(2) filter may raise it). A program that dispatches its
// system calls itself (Wine) goes on, no longer audited. Not faithful under audit: a mask that is
// asked of the kernel itself never holds SIGSYS.

#include "hooks/audit.h"

#include <errno.h>
#include <link.h>
#include <linux/audit.h>
#include <sched.h>
#include <string.h>
#include <ucontext.h>
#include <unwind.h>

#include "hooks/fs_trap.h"
#include "hooks/inline_futex.h"
#include "hooks/program_code.h"
#include "hooks/signal.h"
#include "runtime/scheduler.h"
#include "runtime/stats.h"
#include "runtime/sys.h"

namespace green {

Surprise surprises[most_surprises];
uint64_t surprises_left_out = 0;
bool audit_wanted = false;
bool audited = false;
uint64_t audited_calls = 0;
void (*on_new_surprise)(const Surprise&) = nullptr;

namespace {

void say(const char* what, const char* consequence) {
    if (!warnings) return;
    const char* const parts[] = {audited ? "libgreen: audit: " : "libgreen: ", what, consequence};
    for (const char* part : parts) sys::invoke(SYS_write, 2, part, strlen(part));
}

}  // namespace

#if defined(__x86_64__)

namespace {

constexpr int set_dispatch = 59, dispatch_off = 0, dispatch_on = 1;  // linux/prctl.h, 5.11
constexpr int user_dispatch = 2;                                     // siginfo_t's si_code
constexpr long instruction_size = 2;                                 // of every system call

bool running = false;
bool catching = false;  // the program's own futex(2) calls go to the hook

// The program does what cannot be audited: it is told once, and left alone.
void give_up(const char* reason) {
    sys::invoke(SYS_prctl, set_dispatch, dispatch_off, 0, 0, 0);
    signals_give_sigsys_back();
    if (audited) say(reason, "; from here on it is not audited\n");
    if (catching) say(reason, "; its own waits may stop the process\n");
    running = catching = audit_wanted = false;
}

// ---- what is noted ------------------------------------------------------------------------------

struct Walk {
    const void** frames;
    int count;
};

// Our own text: the executable segment that this file's functions lie in.
struct Text {
    uintptr_t first, size;
};
Text text = {};

int find_text(dl_phdr_info* info, size_t, void*) {
    auto here = reinterpret_cast<uintptr_t>(&find_text);
    for (int i = 0; i < info->dlpi_phnum; ++i) {
        const auto& p = info->dlpi_phdr[i];
        uintptr_t from = info->dlpi_addr + p.p_vaddr;
        if (p.p_type != PT_LOAD || here < from || here >= from + p.p_memsz) continue;
        text = {from, p.p_memsz};
        return 1;
    }
    return 0;
}

// From the trapped instruction (before it come this handler's own frames) to where we were called.
_Unwind_Reason_Code step(_Unwind_Context* context, void* data) {
    auto* walk = static_cast<Walk*>(data);
    uintptr_t pc = _Unwind_GetIP(context);
    auto* frame = reinterpret_cast<const void*>(pc);
    if (walk->count == 0 && frame != walk->frames[0]) return _URC_NO_REASON;
    if (pc - text.first < text.size) return _URC_END_OF_STACK;
    walk->frames[walk->count++] = frame;
    return walk->count < Surprise::depth ? _URC_NO_REASON : _URC_END_OF_STACK;
}

void note(const char* call, const void* pc) {
    const void* frames[Surprise::depth] = {pc};
    Walk walk = {frames, 0};
    _Unwind_Backtrace(step, &walk);
    const void* caller = nullptr;
    for (const void* frame : frames) {
        bool is_programs = frame != nullptr && in_program_code(reinterpret_cast<uintptr_t>(frame));
        if (caller == nullptr && is_programs) caller = frame;
    }
    for (Surprise& s : surprises) {
        bool is_new = s.call == nullptr;
        if (is_new) {
            s = {call, 0, caller, {}};
            memcpy(s.frames, frames, sizeof frames);
        }
        if (s.call != call || s.frames[0] != pc || s.caller != caller) continue;
        ++s.count;
        if (is_new && on_new_surprise != nullptr) on_new_surprise(s);
        return;
    }
    ++surprises_left_out;
}

// ---- how the call is made -----------------------------------------------------------------------

extern "C" __attribute__((visibility("hidden"))) void green_audit_repeat();
extern "C" __attribute__((visibility("hidden"))) uintptr_t green_audit_return;
__attribute__((used)) uintptr_t green_audit_return = 0;

// The instruction itself, in our text, with the program's registers and on its stack. The child of
// a clone(2) comes by as well; its parent would have to clone at another place before that for it
// to go astray.
asm(".pushsection .text\n"
    ".hidden green_audit_repeat\n"
    ".globl green_audit_repeat\n"
    ".type green_audit_repeat, @function\n"
    "green_audit_repeat:\n"
    "    syscall\n"
    "    jmp *green_audit_return(%rip)\n"
    ".popsection\n");

// Whether the child runs in our memory, or on a stack of its own.
bool returns_elsewhere(long number, const long* a) {
    constexpr int flags = 0, stack = 5;  // of clone3's block, in words
    switch (number) {
        case SYS_vfork:
            return true;
        case SYS_clone:
            return (a[0] & CLONE_VM) != 0 || a[1] != 0;
        case SYS_clone3: {
            auto* block = reinterpret_cast<const uint64_t*>(a[0]);
            return (block[flags] & CLONE_VM) != 0 || block[stack] != 0;
        }
        default:
            return false;
    }
}

[[noreturn]] void return_to_frame(long stack) {
    asm volatile(
        "movq %0, %%rsp\n"
        "syscall\n"
        :
        : "r"(stack), "a"(SYS_rt_sigreturn)
        : "memory");
    __builtin_unreachable();
}

long change_mask(const long* a, ucontext_t* context) {
    uint64_t set = 0;
    if (a[1] != 0) memcpy(&set, reinterpret_cast<void*>(a[1]), sizeof set);
    set &= ~(uint64_t{1} << (SIGSYS - 1)) & ~context_signals;
    long r = sys::invoke(SYS_rt_sigprocmask, a[0], a[1] == 0 ? nullptr : &set, a[2], a[3]);
    sys::signal_mask(SIG_BLOCK, nullptr, &context->uc_sigmask);
    return r;
}

long change_stack(const long* a, ucontext_t* context) {
    long r = sys::invoke(SYS_sigaltstack, a[0], a[1]);
    if (r == 0 && a[0] != 0) context->uc_stack = *reinterpret_cast<const stack_t*>(a[0]);
    return r;
}

void perform(long number, const long* a, ucontext_t* context) {
    auto* registers = context->uc_mcontext.gregs;
    if (returns_elsewhere(number, a)) {
        green_audit_return = static_cast<uintptr_t>(registers[REG_RIP]);
        registers[REG_RIP] = reinterpret_cast<greg_t>(green_audit_repeat);
        return;
    }
    switch (number) {
        case SYS_rt_sigreturn:
            return_to_frame(registers[REG_RSP]);
        case SYS_rt_sigprocmask:
            registers[REG_RAX] = change_mask(a, context);
            return;
        case SYS_sigaltstack:
            registers[REG_RAX] = change_stack(a, context);
            return;
        case SYS_rt_sigaction:
            if (a[0] == SIGSEGV) {
                registers[REG_RAX] =
                    kernel_action(SIGSEGV, reinterpret_cast<const sys::SignalAction*>(a[1]),
                                  reinterpret_cast<sys::SignalAction*>(a[2]));
                return;
            }
            if (a[0] != SIGSYS) break;
            registers[REG_RAX] =
                signals_sigsys_action(reinterpret_cast<const sys::SignalAction*>(a[1]),
                                      reinterpret_cast<sys::SignalAction*>(a[2]));
            return;
        case SYS_prctl:
            if (a[0] == set_dispatch) give_up("the program dispatches system calls itself");
            break;
        default:
            break;
    }
    registers[REG_RAX] = sys::call(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

void on_system_call(int, siginfo_t* info, void* frame) {
    auto* context = static_cast<ucontext_t*>(frame);
    auto* registers = context->uc_mcontext.gregs;
    if (info->si_code != user_dispatch) return signals_pass_sigsys(info, frame);
    if (info->si_arch != AUDIT_ARCH_X86_64) {
        give_up("the program makes 32-bit system calls");
        registers[REG_RIP] -= instruction_size;
        return;
    }
    long number = registers[REG_RAX];
    const long arguments[] = {registers[REG_RDI], registers[REG_RSI], registers[REG_RDX],
                              registers[REG_R10], registers[REG_R8],  registers[REG_R9]};
    bool is_programs = catching && in_program_code(static_cast<uintptr_t>(registers[REG_RIP]));
    if (is_programs && number == SYS_futex && self != nullptr) {
        int saved = errno;
        registers[REG_RAX] = green_futex(arguments);
        signals_fix_frame(context);
        errno = saved;
        return;
    }
    if (audited) ++audited_calls;
    if (audited && stats.threads_alive > 1) {
        const char* call = audit_waits(number, arguments);
        if (call != nullptr) note(call, reinterpret_cast<const void*>(registers[REG_RIP]));
    }
    perform(number, arguments, context);
}

// False: the kernel cannot.
bool dispatch() {
    if (running) return true;
    dl_iterate_phdr(find_text, nullptr);
    signals_take_sigsys(on_system_call);
    // No selector byte: outside of the range there is no exception.
    running =
        sys::invoke(SYS_prctl, set_dispatch, dispatch_on, text.first, text.size, nullptr) == 0;
    if (!running) signals_give_sigsys_back();
    return running;
}

}  // namespace

void audit_start() {
    if (!audit_wanted || audited) return;
    audited = true;
    if (dispatch()) return;
    say("this kernel has no Syscall User Dispatch", "; nothing is audited\n");
    audited = audit_wanted = false;
}

bool catch_inline_futexes() {
    catching = dispatch();
    return catching;
}

void audit_after_fork_in_child() {
    if (!running) return;
    running = catching = false;
    signals_give_sigsys_back();
    memset(surprises, 0, sizeof surprises);
    audited_calls = surprises_left_out = 0;
    audited = false;
}

#else

void audit_start() {
    if (audit_wanted) say("this CPU is not supported", "; nothing is audited\n");
    audit_wanted = false;
}
void audit_after_fork_in_child() {}
bool catch_inline_futexes() { return false; }

#endif

}  // namespace green
