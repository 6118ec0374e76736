// The parking lot: threads that wait on an address.
//
// Mutex, condition variable, semaphore, rwlock, barrier, once, join and futex are all "wait until
// somebody says something about this address". The lot is a hash table of queues; a queue's links
// lie in the waiting threads, and nothing is stored in the program's objects. Waiters of one
// address are woken first in, first out. There are no lost wake-ups to guard against: between a
// test of the object and wait_address() no other thread runs.
#pragma once

#include "runtime/thread.h"

namespace green {

// Parks the caller on `address`. `tag` is for the callbacks below. `first`: before those who
// already wait, for one who waited before and was overtaken.
Wake wait_address(const void* address, sys::Deadline deadline = sys::never, uint32_t tag = 0,
                  bool first = false);

// Parks the caller on several addresses (futex_waitv(2)), which `waits` name. `*woken`: at which of
// them it was woken, or `count`.
Wake wait_addresses(AddressWait* waits, unsigned count, sys::Deadline deadline, unsigned* woken);

// How many threads wait on any address.
extern size_t address_waiters;

// Wakes up to `count` waiters of `address`; how many it woke.
unsigned wake_address(const void* address, unsigned count = 1);

// The same for waiters whose tag has a bit of `mask` (FUTEX_WAKE_BITSET).
unsigned wake_address_tagged(const void* address, unsigned count, uint32_t mask);

// Moves up to `count` waiters from one address to another without waking them (FUTEX_REQUEUE).
unsigned requeue_address(const void* from, const void* to, unsigned count);

// Whether a thread waits on `address`, with a tag that has a bit of `mask`.
bool address_has_waiters(const void* address, uint32_t mask = UINT32_MAX);

// Kernel threads that are not ours, in a process that has green threads: libc makes some for
// SIGEV_THREAD and POSIX aio. They wait in the kernel; what they wake may be green. For one of
// them: wakes every waiter of `address`, soon; who was meant looks again, as do the others.
void wake_from_outside(const void* address);
// ... and whether one was ever seen to wait: then the kernel must be told of our wake-ups too.
extern bool outsiders_wait;

// For the loop, after loop_wake().
void wake_for_outsiders();

const char* parking_lot_start();
void parking_lot_abandon();

}  // namespace green
