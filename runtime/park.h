// park() itself, for the runtime's own files, which inline it into the few functions that threads
// wait in: each frame on the way to the switch is a cache line that the thread must bring back.
#pragma once

#include <assert.h>

#include "runtime/scheduler.h"
#include "runtime/slice.h"

namespace green {

struct RunQueue {
    Thread* head = nullptr;
    Thread* tail = nullptr;

    void add(Thread* t) {
        t->next_runnable = nullptr;
        (tail == nullptr ? head : tail->next_runnable) = t;
        tail = t;
    }
    Thread* take() {
        Thread* t = head;
        head = t->next_runnable;
        if (head == nullptr) tail = nullptr;
        return t;
    }
    void append(const RunQueue& more) {
        if (more.head == nullptr) return;
        (tail == nullptr ? head : tail->next_runnable) = more.head;
        tail = more.tail;
    }
};

extern RunQueue run_queue;
extern Thread* loop_thread;
extern int switches_since_poll;
extern int switches_per_poll;  // at the latest; an empty queue polls at once

// What a thread that goes on touches first: its saved registers and the frames above them, and its
// thread block. Fetched while the one before it runs, of which there is time for one or two calls.
__attribute__((always_inline)) inline void prefetch_stack(const Thread* t) {
    auto* sp = static_cast<const char*>(t->context.sp);
    constexpr int line = 64, lines = 6;
    for (int i = 0; i < lines; ++i) __builtin_prefetch(sp + i * line);
    __builtin_prefetch(t->context.fs);
    __builtin_prefetch(thread_local_in(t->context.fs, &self));
}

__attribute__((always_inline)) inline void switch_to(Thread* from, Thread* to) {
    if (from == to) return;
    ++stats.switches;
    if (Thread* next = to->next_runnable; next != nullptr) {
        prefetch_stack(next);
        if (next->next_runnable != nullptr) __builtin_prefetch(next->next_runnable);
    }
    if (to->shares_stack) return slice_switch(from, to);
    context_switch_by_jump(&from->context, &to->context);
}

// The loop runs on the block of the thread that it was called from (loop.cpp), but not on that of
// one that has ended, whose memory is free.
__attribute__((always_inline)) inline void switch_to_loop(Thread* me) {
    ++stats.switches;
    if (me->state == State::ended) loop_thread->context.fs = loop_thread->block;
    context_switch_by_jump(&me->context, &loop_thread->context);
}

__attribute__((always_inline)) inline void leave(Thread* me) {
    me->unparked_calls = 0;
    if (run_queue.head == nullptr || ++switches_since_poll >= switches_per_poll) {
        switch_to_loop(me);
    } else {
        switch_to(me, run_queue.take());
    }
}

// Out of line, and its frame below the waiter's: the backtrace begins there.
void report_and_wait_on(Thread* me);

__attribute__((always_inline)) inline Wake park_here(Thread* me, Park kind,
                                                     sys::Deadline deadline) {
    assert(me != nullptr && "a thread must not park in the runtime");
    if (me->interrupt_next_park) {
        me->interrupt_next_park = false;
        return Wake::interrupted;
    }
    ++stats.parks[static_cast<int>(kind)];
    me->state = State::parked;
    me->park = kind;
    if (deadline != sys::never) {
        me->timer.deadline = deadline;
        timers.add(&me->timer);
    }
    leave(me);
    while (__builtin_expect(me->wake == Wake::report, 0)) report_and_wait_on(me);
    if (deadline != sys::never) timers.remove(&me->timer);
    return me->wake;
}

}  // namespace green
