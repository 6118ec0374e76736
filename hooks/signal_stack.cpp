// The stacks that signal handlers run on (sigaltstack(2)), of which the kernel knows only one.
//
// Each green thread may have an alternate stack of its own; the kernel is told of one of ours, the
// fault stack, and a handler that begins there moves its frame to where the kernel would have made
// it for the thread:
//
//     kernel --> [fault stack: frame, on_signal]
//                       |  the frame is copied, and on_signal begins anew below it
//                       v
//                [the thread's alternate stack, or its own: frame, on_signal, the handler]
//
// So the fault stack is free again, the handler may wait, and other threads' faults come meanwhile.

#include "hooks/signal_stack.h"

#include <limits.h>
#include <string.h>
#include <ucontext.h>

#include "hooks/hook.h"

using namespace green;

namespace {

// Whether a stack pointer lies in the thread's own stack. Code that a program makes itself may use
// rsp for other things: Erlang's lies on the heap of what it runs, whose data are right below.
const char* in_first_stack = nullptr;
bool on_own_stack(const Thread* t, const char* sp) {
    constexpr ptrdiff_t around = ptrdiff_t{64} << 20;
    if (t->stack_size != 0) return sp >= t->stack_low && sp < t->stack_low + t->stack_size;
    return sp > in_first_stack - around && sp < in_first_stack + around;
}

bool on_alternate_stack(const Thread* t, const void* sp) {
    auto* low = static_cast<const char*>(t->alternate_stack);
    return sp >= low && sp < low + t->alternate_size;
}

constexpr int disarms_itself = INT_MIN;  // SS_AUTODISARM of <linux/signal.h>

// Where the kernel begins the handlers of faults that want another stack: a thread's own may be the
// one that has overflowed, and it has an alternate one, but of those the kernel knows only one.
alignas(64) char fault_stack[65536];

void give_kernel_fault_stack() {
    stack_t stack = {fault_stack, 0, sizeof fault_stack};
    sys::invoke(SYS_sigaltstack, &stack, nullptr);
}

#if defined(__x86_64__)

// The kernel's frame: the handler's return address, the context, the signal, and somewhere above
// them the floating-point state. Moved, it is returned through like any other. False where it need
// not or cannot be; a fault on a stack without room then kills, as all signals are blocked here.
// True is never seen by the caller: `handler` begins anew.
bool move_frame(SignalHandler handler, int signal, siginfo_t* info, void* context,
                bool to_alternate, size_t room = 0) {
    auto* here = static_cast<char*>(__builtin_frame_address(0));
    if (self == nullptr || !on_fault_stack(here)) return false;
    constexpr size_t red_zone = 128, plain_size = 512, marked_at = 464;
    constexpr uint32_t has_more = 0x46505853;  // FP_XSTATE_MAGIC1
    auto& registers = static_cast<ucontext_t*>(context)->uc_mcontext;
    auto* sp = reinterpret_cast<char*>(registers.gregs[REG_RSP]);
    if (on_fault_stack(sp)) return false;  // it interrupts another handler there
    bool alternate = to_alternate && self->alternate_size != 0 && !on_alternate_stack(self, sp);
    auto* low = static_cast<char*>(self->alternate_stack);
    char* top = alternate ? low + self->alternate_size : sp - red_zone;
    uint32_t marks[2] = {};
    auto* state = reinterpret_cast<char*>(registers.fpregs);
    if (state != nullptr) memcpy(marks, state + marked_at, sizeof marks);
    size_t state_size = marks[0] == has_more ? marks[1] : plain_size;
    auto from = reinterpret_cast<char*>(context) - sizeof(void*);
    size_t size = static_cast<size_t>(reinterpret_cast<char*>(info + 1) - from);
    auto new_state = (reinterpret_cast<uintptr_t>(top) - state_size) & ~uintptr_t{63};
    auto* to = reinterpret_cast<char*>(((new_state - size) & ~uintptr_t{15}) - sizeof(void*));
    if (alternate && to < low + room) return false;
    if (state != nullptr) memcpy(reinterpret_cast<char*>(new_state), state, state_size);
    memcpy(to, from, size);
    auto* moved = reinterpret_cast<ucontext_t*>(to + sizeof(void*));
    if (state != nullptr) moved->uc_mcontext.fpregs = reinterpret_cast<fpregset_t>(new_state);
    asm volatile(
        "movq %[frame], %%rsp\n"
        "jmp *%[go]\n"
        :
        : [frame] "r"(to), [go] "r"(handler), "D"(signal), "S"(to + size - sizeof *info), "d"(moved)
        : "memory");
    __builtin_unreachable();
}

#else
bool move_frame(SignalHandler, int, siginfo_t*, void*, bool, size_t = 0) { return false; }
#endif

}  // namespace

namespace green {

bool on_fault_stack(const void* at) {
    return at >= fault_stack && at < fault_stack + sizeof fault_stack;
}

stack_t alternate_stack_of(const Thread* t) {
    int flags = t->alternate_size == 0 ? SS_DISABLE : 0;
    return {t->alternate_stack, t->alternate_disarms ? flags | disarms_itself : flags,
            t->alternate_size};
}

void set_alternate_stack(Thread* t, const stack_t& s) {
    bool off = (s.ss_flags & SS_DISABLE) != 0;
    t->alternate_stack = off ? nullptr : s.ss_sp;
    t->alternate_size = off ? 0 : s.ss_size;
    t->alternate_disarms = (s.ss_flags & disarms_itself) != 0;
}

void learn_alternate_stack(Thread* t) {
    stack_t now = {};
    sys::invoke(SYS_sigaltstack, nullptr, &now);
    set_alternate_stack(t, now);
}

void signal_stacks_prepare() {
    if (self->stack_size == 0) in_first_stack = static_cast<char*>(__builtin_frame_address(0));
    learn_alternate_stack(self);
    give_kernel_fault_stack();
}

void run_on_signal_stack(Thread* me, bool wants_alternate, void (*run)(void*), void* argument) {
    stack_t stack = alternate_stack_of(me);
    bool on_it = on_alternate_stack(me, __builtin_frame_address(0));
    if (me->alternate_disarms) set_alternate_stack(me, {nullptr, SS_DISABLE, 0});
    if (!wants_alternate || stack.ss_size == 0 || on_it) return run(argument);
#if defined(__x86_64__)
    auto* low = static_cast<char*>(stack.ss_sp);
    auto top = reinterpret_cast<uintptr_t>(low + stack.ss_size) & ~uintptr_t{15};
    asm volatile(
        "movq %%rsp, %%rbx\n"
        "movq %[top], %%rsp\n"
        "call *%[run]\n"
        "movq %%rbx, %%rsp\n"
        : "+D"(argument)
        : [top] "r"(top), [run] "r"(run)
        : "rbx", "rax", "rcx", "rdx", "rsi", "r8", "r9", "r10", "r11", "memory", "cc");
#endif
}

void begin_on_signal_stack(SignalHandler handler, int signal, siginfo_t* info, void* context) {
    move_frame(handler, signal, info, context, true);
}

bool leave_fault_stack(SignalHandler handler, int signal, siginfo_t* info, void* context) {
    if (!on_fault_stack(__builtin_frame_address(0))) return true;
#if defined(__x86_64__)
    constexpr size_t room = 4096;
    auto sp = static_cast<ucontext_t*>(context)->uc_mcontext.gregs[REG_RSP];
    bool elsewhere = !on_own_stack(self, reinterpret_cast<char*>(sp));
    return move_frame(handler, signal, info, context, elsewhere, room);
#else
    return false;
#endif
}

}  // namespace green

// Each thread has an alternate stack of its own, none at first; the kernel knows the last one set.
HOOK(int, sigaltstack, (const stack_t* stack, stack_t* old), redirected) {
    if (self == nullptr) return static_cast<int>(result(sys::invoke(SYS_sigaltstack, stack, old)));
    bool on_it = !self->alternate_disarms && on_alternate_stack(self, __builtin_frame_address(0));
    stack_t was = alternate_stack_of(self);
    if (on_it) was.ss_flags = SS_ONSTACK;
    if (stack != nullptr) {
        // The kernel says what is wrong with it.
        long r = on_it ? -EPERM : sys::invoke(SYS_sigaltstack, stack, nullptr);
        if (r < 0) return static_cast<int>(result(r));
        give_kernel_fault_stack();
        set_alternate_stack(self, *stack);
    }
    if (old != nullptr) *old = was;
    return 0;
}
