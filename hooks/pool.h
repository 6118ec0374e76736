// `green --pool N` (GREEN_POOL): of the threads that one thread has made, at most N run at a time.
//
// The others have been made and wait to begin, in the order in which they were made. It is the new
// thread that waits and not pthread_create(3): creators hold locks. Python's Thread.start calls it
// with the global lock held, thread pools with their queue's, and the threads that were to end
// first need those locks to end. Creators that must know, wait for their thread's first sign anyway
// (Thread.start does), which makes them wait here as gevent's Pool.spawn does.
//
// Each creator has a pool of its own, so that a thread of the pool may use threads for its own work
// (libcurl looks up a name in one) without waiting for itself. What can not go on, such as a pool
// of the program's own with more than N threads which never end, is told as a deadlock, with the
// reason.
#pragma once

#include "runtime/thread.h"

namespace green {

extern unsigned pool_size;  // 0: no limit

// The calling thread has made `t`.
void pool_add(Thread* t);

// The calling thread is about to run its routine: waits until it may.
void pool_enter();

// The thread ends.
void pool_leave(Thread* t);

// In the child of a fork: the others are gone.
void pool_abandon(Thread* t);

// Whether a parked thread waits in pool_enter(), and for how many.
bool waits_for_pool(const Thread* t, unsigned* running);

}  // namespace green
