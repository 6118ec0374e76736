// The stacks that signal handlers run on: sigaltstack(2), one for each green thread.
#pragma once

#include <signal.h>

#include "runtime/thread.h"

namespace green {

// A thread's alternate stack, as sigaltstack(2) tells it: none at first. `learn` takes over what
// the kernel has for the kernel thread that calls.
stack_t alternate_stack_of(const Thread* thread);
void set_alternate_stack(Thread* thread, const stack_t& stack);
void learn_alternate_stack(Thread* thread);

// Calls run(argument) for a handler: on the thread's alternate stack if that is wanted, there is
// one and it is not in use, else where it is. One that disarms itself is not the thread's from then
// on.
void run_on_signal_stack(Thread* me, bool wants_alternate, void (*run)(void*), void* argument);

// For the first green thread, which calls it: from now on the kernel begins handlers with
// SA_ONSTACK on the fault stack.
void signal_stacks_prepare();
bool on_fault_stack(const void* at);

// For a handler of ours that stands for the program's, at its entry: where it begins on the fault
// stack it begins anew on the thread's alternate one (or its own, if it has none or is on it), and
// this does not return. It returns where there is nothing to do, or no room.
using SignalHandler = void (*)(int, siginfo_t*, void*);
void begin_on_signal_stack(SignalHandler handler, int signal, siginfo_t* info, void* context);

// For one that switches threads: it begins anew on the stack of the thread that it interrupted, or,
// if the program's code uses rsp for something else, on that thread's alternate stack. True: it is
// not on the fault stack. False where there is no room: it must return without a switch.
bool leave_fault_stack(SignalHandler handler, int signal, siginfo_t* info, void* context);

}  // namespace green
