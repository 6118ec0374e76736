// The offload pool: what blocks in the kernel with no descriptor to wait on.
//
// flock, fsync, semop, opening a FIFO: the system call is made by a helper kernel thread while its
// green thread is parked. Helpers are made on first use, at most `most_helpers`; they run nothing
// but system calls handed to them, on stacks and thread blocks of their own: no malloc, no libc, no
// object of the program but the arguments. All signals are blocked in them. A call that is handed
// over runs to its end: a signal or a cancellation is acted upon when it returns.
//
//     green thread -- job --> queue --> helper: system call --> done list, loop_wake()
//          ^                                                          |
//          +------------------------ unpark <------ the loop ---------+
#pragma once

#include "runtime/sys.h"

namespace green {

constexpr int most_helpers = 16;

// Makes the system call `number` on a helper and parks the caller until it has returned; the
// kernel's result. Without a helper (no memory, no processes left) it is made right here, natively.
long offload(long number, long a = 0, long b = 0, long c = 0, long d = 0, long e = 0, long f = 0);

// For the loop, after loop_wake(): wakes the threads whose calls have returned.
void offload_collect();

// In the child after fork(2), where there are no helpers.
void offload_abandon();

}  // namespace green
