// Trouble is told on stderr, once of each kind (GREEN_WARN=0: not at all).
//
//  - Deadlock: every thread waits on an address, without a time limit, and no signal handler,
//    timer, descriptor or other kernel thread is left that could wake one of them.
//  - Hog: one thread has run for over a second of CPU time where it cannot be interrupted, while
//    others could run.
//  - Overflow: a thread has touched the guard below its stack.
//
// A report names the threads, what each waits for, and its backtrace. The program goes on as it
// would have.
#pragma once

#include <stdint.h>

namespace green {

// From the first thread on.
void trouble_watch_starts();

// From the preemption timer's handler, for a slice of so many nanoseconds that the running thread
// has used up.
void trouble_slice_used(uint64_t slice);

// Whether an action for SIGSEGV that the kernel tells of is ours, and the program's is the default.
bool is_overflow_handler(const void* handler);

}  // namespace green
