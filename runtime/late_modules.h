// Thread-local variables of libraries that are loaded while there are green threads.
//
// Most live in memory of their own, which each thread gets at its first use. Those with the static
// model (initial-exec: what a library promises to be fast) lie in the thread block itself, at the
// same place in each, and dlopen(3) writes their initial values into the blocks of all threads that
// libc knows: of ours, only the first. All get them here, before they run again. Not the one that
// called dlopen, whose constructors may have written to them already.
#pragma once

namespace green {

struct Thread;

// Before there is a second thread.
void late_modules_prepare();

// The calling thread has taken a lock, perhaps the dynamic linker's: it may load something.
// Not the thread that takes it in making a thread block.
void late_modules_note_lock(const void* mutex);
extern const Thread* late_modules_block_maker;

// In the loop, before another thread runs.
extern bool late_modules_possible;
void late_modules_init();

}  // namespace green
