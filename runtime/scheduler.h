// The scheduler: who runs next on the one kernel thread.
//
// Runnable threads wait in a queue, first in, first out. A thread that parks switches straight to
// the next one; only when the queue is empty, or has been served for a while without a look at the
// world, does it switch to the loop (loop.h), which asks the kernel what became ready.
//
//        park() --> [ run queue ] --> next thread        one switch
//                        empty    --> loop: epoll_wait --> unpark(...) ... --> next thread
//
// A switch takes place only inside park(), yield() and thread_finish(): what lies between two of
// these calls is atomic, which is why no lock is found anywhere in the library.
#pragma once

#include "runtime/thread.h"

namespace green {

// Brings the runtime up around the caller, which becomes the first green thread. Null, or a
// sentence: why not (then nothing has changed). Cheap when it is up already. Calls malloc.
const char* scheduler_start();

// In the child after fork(2): forgets all other threads; the caller is dormant again.
void scheduler_abandon();

// Between the two, for kernel threads whose own `self` cannot tell.
extern bool scheduler_active;

// Stops the calling thread until unpark() or until `deadline`. The caller has put itself where
// its waker will find it, and takes itself out again afterwards, whatever the result. Restartable.
Wake park(Park kind, sys::Deadline deadline = sys::never);

// One wait of at most `slice` ns, for what may come without anybody telling us: `wait(until)`
// parks. The end of the slice is Wake::ready, look again; only `deadline` is Wake::timed_out.
template <class Wait>
Wake wait_a_slice(uint64_t slice, sys::Deadline deadline, Wait wait) {
    sys::Deadline again = sys::after(slice);
    Wake why = wait(again < deadline ? again : deadline);
    return why == Wake::timed_out && again < deadline ? Wake::ready : why;
}

// Called, if not null, in the context of a thread that was unparked with Wake::report; it must not
// park. The thread's wait goes on afterwards.
extern void (*park_on_report)();

// Makes a parked thread runnable; no effect if it is not parked. From any context of the one
// kernel thread.
void unpark(Thread* thread, Wake why = Wake::ready);

// Ends a thread's wait with Wake::interrupted; if it runs or is about to, its next one.
void interrupt(Thread* thread);

// Lets all other runnable threads, and events that are due, go first.
void yield();

// The same, after a look at what became ready: for one who has run for long.
void yield_to_loop();

// The same, behind all those who did not run for so long.
void yield_as_hog();

// The next switch is to the loop, however many could run.
void poll_before_switch();

// Whether anybody but hogs could run now. From a signal handler too.
bool somebody_is_due();

// When the last hog got its turn, in switches: as long as that is stats.switches, it computes. And
// what is called in the loop's context before each such turn; may be null.
extern uint64_t hogs_turn_at;
extern void (*on_hogs_turn)();

// For calls that return without ever blocking: yields after some hundred of them in a row, so that
// a thread whose data is always there cannot starve the others.
inline void count_unparked_call() {
    void yield_after_many_calls(Thread*);
    constexpr uint16_t many = 128;
    if (++self->unparked_calls >= many) yield_after_many_calls(self);
}

// For thread.cpp, loop.cpp and slice.cpp.
void run_queue_add(Thread* thread);
bool run_queue_empty();
void switch_away(Thread* me);
void run_next_from_loop(Thread* loop_thread, Thread* lender);
void* loop_block();
void switch_to_loop_from(Context* from);
extern TimerHeap timers;
void expire_timers();

}  // namespace green
