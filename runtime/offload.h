// The offload pool: what blocks in the kernel with no descriptor to wait on.
//
// fsync, an uncached read, flock, semop, opening a FIFO: the system call is made by a helper kernel
// thread while its green thread is parked. Helpers are made on first use and end when they have had
// nothing to do for 50 ms; they run nothing but system calls handed to them, on stacks and thread
// blocks of their own: no malloc, no libc, no object of the program but the arguments.
//
//     green thread -- job --> queue --> helper: system call --> done list, loop_wake()
//          ^                            ^                             |
//          |                            + tgkill, when interrupted    |
//          +------------------------ unpark <------ the loop ---------+
//
// A call is either brief (the disk's time, which natively no signal cuts short) or endless (it
// waits for somebody else). Brief ones share `most_helpers` helpers and run to their end. Endless
// ones never make others wait: each may have a helper of its own, as it has a kernel thread
// natively. A signal handler or a cancellation that is due cuts them short, as the kernel would:
// with EINTR.
#pragma once

#include "runtime/sys.h"

namespace green {

enum class Lasts : uint8_t { briefly, endlessly };

constexpr int most_helpers = 16;          // for brief calls
constexpr int most_endless_calls = 4096;  // ... and so many more for endless ones

// Makes the system call `number` on a helper and parks the caller until it has returned; the
// kernel's result. -EINTR only if an endless call was cut short because the caller was interrupted
// (Wake::interrupted): whether to make it again is the caller's to decide. Without a helper (no
// memory, no processes left) it is made right here, natively.
long offload(Lasts lasts, long number, long a = 0, long b = 0, long c = 0, long d = 0, long e = 0,
             long f = 0);

// For the loop, after loop_wake(): wakes the threads whose calls have returned.
void offload_collect();

// The caller's credentials or namespaces have changed, which to the kernel are one thread's: calls
// from now on are made by new helpers, which have those. The old ones end when they have no call.
void offload_renew();

// How many helpers there are.
int offload_helpers();

// The process ends: helpers without work end now, so that nobody counts them. Waits a moment.
void offload_retire();

// In the child after fork(2), where there are no helpers.
void offload_abandon();

}  // namespace green
