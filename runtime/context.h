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
//     +------+   +-> its thread block (runtime/thread_block.h)
//
// The signal mask is not switched: it costs a system call (see hooks/signal.cpp for masks).
// context_x86_64.S is the real one. context_ucontext.cpp (cmake -DGREEN_SWITCH=ucontext) does the
// same with getcontext(3) and swapcontext(3); it exists to have a second opinion on a new platform.
#pragma once

#include <stddef.h>

namespace green {

struct Context {
    void* sp = nullptr;
    void* fs = nullptr;
};

// Whether this build can switch contexts on this CPU; must be called once before the first switch.
// The reason is a sentence for stderr, or null.
const char* context_prepare();

// Sets up `context` so that the first switch to it calls entry() on the stack that ends below `top`
// (any alignment). entry must never return.
void context_make(Context* context, void* top, void (*entry)());

// Saves the caller in `from` and continues `to`. Returns when somebody switches back to `from`.
extern "C" void green_context_switch(Context* from, const Context* to);

// The FS base of the running context: the address of its thread block.
void* context_fs();

}  // namespace green
