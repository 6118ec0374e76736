// A green thread: what the runtime knows about it, and how one is made and ended.
//
// A Thread lies in its own stack slot, so a thread is one piece of memory:
//
//      slot.base                                                          slot end
//     | guard |  stack  <-- grows |  Thread  |  thread block (TLS, pthread) | colour |
//
// The colour is a gap that differs from slot to slot: without it the hot lines of all threads would
// share the same few cache sets (at 1,000 connections that costs 5 % of an echo server's speed).
// The program's first thread has a Thread of static storage and glibc's own block.
#pragma once

#include <sched.h>
#include <sys/types.h>

#include "runtime/context.h"
#include "runtime/stack.h"
#include "runtime/stats.h"
#include "runtime/thread_block.h"
#include "runtime/timers.h"

namespace green {

struct Thread;

// Why a parked thread goes on.
enum class Wake : uint8_t {
    ready,        // what it waited for happened, or may have: look again
    timed_out,    // its deadline passed
    interrupted,  // a signal handler is to run on it, or it was cancelled
    report,       // never seen by a caller: tell what you wait for, and wait on
};

// A thread's place in the parking lot (parking_lot.h) while it waits on an address.
struct AddressWait {
    const void* address = nullptr;  // null: not waiting
    AddressWait* next = nullptr;
    AddressWait* previous = nullptr;
    Thread* thread = nullptr;
    uint32_t tag = 0;  // the waiter's own: a futex bit set, a kind of lock
};

// A thread's interest in a descriptor while it waits for it (fd_table.h): in the thread, or, where
// it waits for several, on its stack.
struct FdWait {
    Thread* thread = nullptr;
    FdWait* next = nullptr;
    FdWait* previous = nullptr;
    int fd = -1;
    uint32_t events = 0;  // EPOLLIN, EPOLLOUT, EPOLLPRI ... (the poll(2) bits are the same)
};
struct Slice;  // slice.h

// A thread's place in the list of those whose descriptor wait is young (fd_table.h).
struct YoungWait {
    YoungWait* next = nullptr;
    YoungWait* previous = nullptr;
    FdWait* waits = nullptr;  // null: not in the list
    unsigned count = 0;
    uint32_t due = 0;  // about milliseconds; wraps around after weeks
};

enum class State : uint8_t { runnable, parked, ended };

struct alignas(64) Thread {
    // The first two cache lines, one pair, are all that a wait for a descriptor touches.
    Context context;
    Thread* next_runnable = nullptr;
    State state = State::runnable;
    Wake wake = Wake::ready;
    Park park = Park::sleep;
    bool cancel_pending = false;
    bool interrupt_next_park = false;  // a wait would begin too late to notice a signal
    bool shares_stack = false;         // has a slice
    bool begun = false;                // has run at least once
    uint16_t unparked_calls = 0;       // hooked calls since it last gave up the CPU
    YoungWait young;
    FdWait fd_wait;

    TimerNode timer;
    AddressWait wait;
    Thread* next_alive = nullptr;
    Thread* previous_alive = nullptr;

    // Identity and memory.
    void* block = nullptr;  // == pthread_self()
    pid_t tid = 0;
    StackSlot slot;
    Slice* slice = nullptr;     // it shares its stack with others (slice.h)
    char* stack_low = nullptr;  // what pthread_getattr_np(3) tells
    size_t stack_size = 0;
    size_t guard_size = 0;
    char name[16] = {};

    // The POSIX side (hooks/thread.cpp).
    void (*entry)(Thread*) = nullptr;
    void* (*routine)(void*) = nullptr;
    void* argument = nullptr;
    void* result = nullptr;
    Thread* joiner = nullptr;
    bool detached = false;
    bool exiting = false;
    bool leaving = false;      // it has been cancelled, or called pthread_exit(3)
    bool uncancelled = false;  // in a call that is no cancellation point
    bool explicit_scheduling = false;
    int policy = 0, priority = 0, nice = 0;  // hooks/scheduling.cpp
    const cpu_set_t* cpus = nullptr;         // hooks/affinity.cpp

    // Signals (hooks/signal.cpp).
    uint64_t blocked = 0;            // its mask, as the kernel counts signals: bit 0 is signal 1
    uint64_t awaited = 0;            // what it waits for in sigwait(3)
    uint64_t* mask_after = nullptr;  // in ppoll(2) and its kin: its mask once a handler has run
    struct QueuedSignal* pending = nullptr;  // sent to this thread
    void* alternate_stack = nullptr;         // sigaltstack(2)
    size_t alternate_size = 0;
    bool alternate_disarms = false;  // SS_AUTODISARM

    // How many run at a time (hooks/pool.cpp).
    struct Pool* pool = nullptr;      // of the thread that made it
    struct Pool* own_pool = nullptr;  // of the threads that it makes
    bool has_place = false;

    alignas(8) char resolver_state[resolver_state_size] = {};
};

// The green thread that runs. Null while the library is dormant, in the scheduler's own context,
// and on a kernel thread that is not ours: exactly when a hook must be the plain system call.
extern __thread Thread* self __attribute__((tls_model("initial-exec")));

// Like self, but once set never cleared: whose block this is.
extern __thread Thread* owner __attribute__((tls_model("initial-exec")));

struct ThreadOptions {
    size_t stack_size = size_t{8} << 20;  // what the program may use
    size_t guard_size = 4096;
    char* user_stack = nullptr;  // lowest byte of the program's own stack of stack_size bytes
};

// Makes a thread that will run entry(thread) and is neither runnable nor counted yet; null without
// memory. Calls malloc: from a program's thread.
Thread* thread_make(const ThreadOptions& options, void (*entry)(Thread*));

// Makes it run, after all that are runnable now.
void thread_start(Thread* thread);

// Ends the calling thread; its memory goes back at once if it is detached, else with
// thread_release. Never returns.
[[noreturn]] void thread_finish();
void thread_release(Thread* thread);

// The Thread of a pthread_t made by this process, also if it has ended (until its memory is
// reused).
Thread* thread_of(void* block);

// The live thread with an id that gettid(2) tells, or null. Looks at all of them.
Thread* thread_by_tid(pid_t tid);

// A thread id that the kernel gives nobody.
pid_t thread_new_tid();

// All that are alive, the program's first thread among them.
Thread* threads_alive();

// In the child after fork(2) by a kernel thread that was not ours: it is the first thread now, in
// the place of the one that is gone.
void thread_adopt_caller();

// In the child after fork(2): every thread but the caller is gone.
void threads_abandon_others();

// The Thread of the program's first thread, or of the one that called fork in this process: of the
// caller, who becomes the first green thread.
Thread* thread_first();

// The one that did: whose id and block are those that the kernel knows.
Thread* thread_of_process();

}  // namespace green
