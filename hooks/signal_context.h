// The third argument of a signal handler that runs at a safe point.
#pragma once

#include <ucontext.h>

namespace green {

// What the kernel would have saved of the calling thread. Some handlers read it (garbage
// collectors, profilers) and some change it, to go on elsewhere.
struct SignalContext {
    ucontext_t context;
    alignas(16) char floating_point[512];  // as fxsave lays it out
};

// Fills `context` with the caller's registers, runs run(argument) below them on the stack, and
// goes on as the registers then are: after this call if they are unchanged.
void run_with_context(SignalContext* context, void (*run)(void*), void* argument);

}  // namespace green
