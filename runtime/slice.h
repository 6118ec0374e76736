// Slices: several green threads that take turns on the program's own stack.
//
// A copy of a stack works only at the addresses it was made at: frames point at each other, and
// compilers keep addresses of locals in registers. So the flows of a program that serves several
// connections at once (hooks/accept_modes.h) all live on the first thread's stack, one at a time:
//
//        the program's stack             slots (stack.h), one per flow
//       |  environment, argv |
//       +--------------------+ base     +------------------+   +------------------+
//       | main               |          | Thread, Slice    |   | Thread, Slice    |
//       | serve              |  <-----  |                  |   |                  |
//       | read (parked)      |  ----->  | the used part of |   | ...              |
//       +--------------------+ low      | the stack        |   |                  |
//       |                    |          +------------------+   +------------------+
//
// The flow whose frames lie on the stack is the resident one. Nothing is copied until another flow
// is to run: then the mover, a context with a small stack of its own, copies the resident's used
// part out and the other's in. A slot is reserved like a stack, so a slice never has to grow.
//
// All flows share the first thread's block, also at its address: what compilers have cached (the
// address of errno) stays right, and so do thread-local variables and pthread_getspecific(3), which
// for a program of one thread are global variables by another name. Only what belongs to the
// execution itself goes with each flow: errno, h_errno, the chain of cleanup frames, C++ exceptions
// in flight, and the thread id by which locks know their owner.
//
// What others reach while a flow is parked must not lie on the stack: see slice_keep().
#pragma once

#include "runtime/fd_table.h"
#include "runtime/thread.h"

namespace green {

constexpr size_t slice_state_size = 64;

// A copy of the used part of the stack, and of the state that goes with it.
struct StackCopy {
    StackSlot slot;  // the bytes begin at slot.base
    char* low = nullptr;
    size_t size = 0;
    char state[slice_state_size];
};

// What Thread::slice points to.
struct Slice {
    StackCopy copy;
    static constexpr unsigned few = 8;
    FdWait waits[few];
};

// A stack to return to more than once.
struct Snapshot {
    StackCopy copy;
    Context context;
    uint64_t blocked = 0;
};

// Makes the caller, on the program's own stack, the first flow. False if the stack is not the
// program's own, or without memory. Repeatable.
bool slices_start();

// More of the first thread's memory that goes with each flow. False if there is no room for it.
bool slice_add_state(void* at, size_t size);

// Remembers the stack as it is now; false without memory or on another stack. Returns as often as
// slice_resume() is called: `*copied` says whether this is the caller itself or a copy.
bool slice_take(Snapshot* snapshot, bool* copied);

// A new thread that will return from slice_take(); not runnable yet. Null without memory. From any
// stack but the program's own.
Thread* slice_resume(const Snapshot& snapshot);

void snapshot_drop(Snapshot* snapshot);

// The calling flow is about to end: its frames are not worth keeping.
void slice_leaves(Thread* thread);
// Its memory.
void slice_release(Thread* thread);

// Switches to a flow that may have to be brought in.
void slice_switch(Thread* from, Thread* to);

// Where the calling flow keeps what others reach while it is parked: `waits` itself if it is not on
// the shared stack.
FdWait* slice_keep(Thread* thread, FdWait* waits, unsigned count);

// How many bytes of the shared stack, which other flows overwrite, lie at and above an address; 0:
// it points elsewhere.
size_t shared_stack_above(long address);
char* shared_stack_base();

// In the child after fork(2): the caller is the only one, and the stack is its own.
void slices_abandon();

}  // namespace green
