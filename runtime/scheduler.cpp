// The run queue and the switch points: see scheduler.h.

#include "runtime/scheduler.h"

#include <assert.h>

#include "runtime/fd_table.h"
#include "runtime/loop.h"
#include "runtime/offload.h"
#include "runtime/parking_lot.h"

namespace green {

TimerHeap timers;

namespace {

Thread* queue_head = nullptr;
Thread* queue_tail = nullptr;
Thread* loop_thread = nullptr;
int switches_since_poll = 0;
constexpr int switches_per_poll = 64;  // at the latest; an empty queue polls at once

Thread* run_queue_take() {
    Thread* t = queue_head;
    queue_head = t->next_runnable;
    if (queue_head == nullptr) queue_tail = nullptr;
    return t;
}

Thread* thread_of_timer(TimerNode* node) {
    return reinterpret_cast<Thread*>(reinterpret_cast<char*>(node) - offsetof(Thread, timer));
}

void switch_to(Thread* from, Thread* to) {
    if (from == to) return;
    ++stats.switches;
    green_context_switch(&from->context, &to->context);
}

}  // namespace

const char* scheduler_start() {
    if (self != nullptr) return nullptr;
    if (const char* problem = thread_block_prepare()) return problem;
    if (const char* problem = context_prepare()) return problem;
    if (const char* problem = fd_table_start()) return problem;
    if (const char* problem = parking_lot_start()) return problem;
    Thread* me = thread_first();
    loop_thread = loop_start();
    if (loop_thread == nullptr) return "the event loop could not be made";
    self = me;
    return nullptr;
}

void scheduler_abandon() {
    if (loop_thread == nullptr) return;
    self = nullptr;
    thread_release(loop_thread);
    loop_thread = nullptr;
    queue_head = queue_tail = nullptr;
    switches_since_poll = 0;
    timers.clear();
    loop_abandon();
    offload_abandon();
    fd_table_abandon();
    parking_lot_abandon();
    threads_abandon_others();
}

void run_queue_add(Thread* t) {
    t->next_runnable = nullptr;
    (queue_tail == nullptr ? queue_head : queue_tail->next_runnable) = t;
    queue_tail = t;
}

bool run_queue_empty() { return queue_head == nullptr; }

void switch_away(Thread* me) {
    me->unparked_calls = 0;
    if (queue_head == nullptr || ++switches_since_poll >= switches_per_poll) {
        switch_to(me, loop_thread);
    } else {
        switch_to(me, run_queue_take());
    }
}

void run_next_from_loop(Thread* loop) {
    switches_since_poll = 0;
    switch_to(loop, run_queue_take());
}

Wake park(Park kind, sys::Deadline deadline) {
    Thread* me = self;
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
    switch_away(me);
    timers.remove(&me->timer);
    return me->wake;
}

void unpark(Thread* t, Wake why) {
    if (t->state != State::parked) return;
    t->state = State::runnable;
    t->wake = why;
    run_queue_add(t);
}

void interrupt(Thread* t) {
    if (t->state == State::runnable) t->interrupt_next_park = true;
    unpark(t, Wake::interrupted);
}

void yield() {
    Thread* me = self;
    // Somebody who waits in a busy loop, alone: what it waits for can only come from outside.
    if (run_queue_empty()) return yield_to_loop();
    run_queue_add(me);
    switch_away(me);
}

void yield_to_loop() {
    Thread* me = self;
    me->unparked_calls = 0;
    run_queue_add(me);
    switch_to(me, loop_thread);
}

void yield_after_many_calls(Thread* me) {
    me->unparked_calls = 0;
    yield();
}

void expire_timers() {
    if (timers.first() == nullptr) return;
    uint64_t now = loop_time();
    while (timers.next() <= now) {
        TimerNode* node = timers.first();
        timers.remove(node);
        unpark(thread_of_timer(node), Wake::timed_out);
    }
}

}  // namespace green
