// The switch: one context of execution gives the CPU to another.
//
// A context is a stack pointer and an FS base. Everything else that a function call must preserve
// (six registers and the two floating-point control words) lies on the context's own stack, and
// everything a *thread* owns (errno, __thread variables, pthread_self) hangs off the FS base:
//
//     Context        the stack of a context that is not running
//     +------+       +---------------------------------------------+
//     | sp --+-----> | mxcsr, x87 cw | r15 r14 r13 r12 rbx rbp | ret |  frames of its callers ...
//     | fs --+---+   +---------------------------------------------+
//     +------+   +-> its thread block (runtime/thread_block.h); null: whatever block is loaded
//
// A context without a block of its own runs on that of whoever switched to it, and must leave errno
// and the like as it found them. The loop is one: to load another base takes a wrfsbase, 6 to 12
// ns, and where the CPU or a hypervisor does not offer it a system call, up to 4 us.
//
// The signal mask is not switched: it costs a system call (see hooks/signal.cpp for masks).
// context_x86_64.S is the real one. context_ucontext.cpp (cmake -DGREEN_SWITCH=ucontext) does the
// same with getcontext(3) and swapcontext(3); it exists to have a second opinion on a new platform.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace green {

struct Context {
    void* sp = nullptr;
    void* fs = nullptr;
#if defined(__SANITIZE_THREAD__)
    void* fiber = nullptr;  // what ThreadSanitizer knows of it
#endif
};

// Whether this build can switch contexts on this CPU; must be called once before the first switch.
// The reason is a sentence for stderr, or null.
const char* context_prepare();

// Sets up `context` so that the first switch to it calls entry() on the stack that ends below `top`
// (any alignment). entry must never return.
void context_make(Context* context, void* top, void (*entry)());

// Saves the caller in `from` and continues `to`. Returns when somebody switches back to `from`.
extern "C" void green_context_switch(Context* from, const Context* to);

// When a context will not be continued any more.
#if defined(__SANITIZE_THREAD__)
void context_end(Context* context);
#else
inline void context_end(Context*) {}
#endif

// The same as green_context_switch, entered by a jump. A call would leave its return address in the
// CPU's return stack, where the other context's returns then miss by one, each of them, up to the
// program's code: sched_yield took 30 ns that way, and takes 14 so.
inline void context_switch_by_jump(Context* from, const Context* to) {
#if defined(__SANITIZE_THREAD__)
    void context_switch_told(Context*, const Context*);
    context_switch_told(from, to);
#elif defined(GREEN_SWITCH_ASM) && defined(__x86_64__)
    asm volatile(
        "leaq 1f(%%rip), %%rcx\n"
        "pushq %%rcx\n"  // the runtime is compiled without a red zone
        "jmp green_context_switch\n"
        "1:\n"
        : "+D"(from), "+S"(to)
        :
        : "rax", "rcx", "rdx", "r8", "r9", "r10", "r11", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4",
          "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14",
          "xmm15", "cc", "memory");
#else
    green_context_switch(from, to);
#endif
}

// Where user mode may not set the FS base (no FSGSBASE in AT_HWCAP2), a switch makes a system call,
// arch_prctl(2): this many.
extern "C" uint64_t green_fs_calls;
bool context_calls_for_fs();

// From now on switches use the instruction nevertheless, and the kernel is told `trap`, an address
// by which nothing can be reached: where it ran somebody else meanwhile, it brings that back, and
// the next use of the FS base is a fault (hooks/fs_trap.h). Null: no longer.
void context_trap_fs(void* trap);

// Puts the base right if the kernel brought the trap back; whether it did. From signal handlers
// too, with whatever base.
bool context_repair_fs();

// The kernel knows the running context's base, until the next switch; or, as long as there were
// more calls with true than with false, that of all contexts.
void context_tell_kernel_fs();
void context_pin_fs(bool pin);

// The signals that no mask of the kernel thread may hold (bit 0 is signal 1): SIGSEGV with a trap.
extern uint64_t context_signals;

// After a system call in whose course the kernel likes to run somebody else: spares the fault.
inline void context_check_fs() {
    if (__builtin_expect(context_signals != 0, 0)) context_repair_fs();
}

// The lowest address of what a context that does not run needs of its stack.
void* context_lowest(const Context& context);

// The FS base of the running context: the address of its thread block.
void* context_fs();

}  // namespace green
