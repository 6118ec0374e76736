// The run queue and the switch points: see scheduler.h.

#include "runtime/scheduler.h"

#include "runtime/fd_table.h"
#include "runtime/late_modules.h"
#include "runtime/loop.h"
#include "runtime/offload.h"
#include "runtime/park.h"
#include "runtime/parking_lot.h"
#include "runtime/resolver.h"
#include "runtime/slice.h"

namespace green {

TimerHeap timers;
bool scheduler_active = false;
void (*park_on_report)() = nullptr;
uint64_t hogs_turn_at = 0;
void (*on_hogs_turn)() = nullptr;

RunQueue run_queue;
constexpr int fewest_per_poll = 64, most_per_poll = 1024;
int switches_per_poll = fewest_per_poll;
int switches_since_poll = 0;
Thread* loop_thread = nullptr;

namespace {

// Those who used up a slice, and new ones, run when nobody else wants to, or once a poll.
RunQueue hogs;

Thread* thread_of_timer(TimerNode* node) {
    return reinterpret_cast<Thread*>(reinterpret_cast<char*>(node) - offsetof(Thread, timer));
}

// New threads that have not run yet may well be hogs like the one that is about to give way: they
// run before those, but after all others.
void defer_new_threads() {
    static uint64_t made_before = 0;
    if (stats.threads_made == made_before) return;
    RunQueue others, fresh;
    int left = 1024;  // of a longer queue, so many each time
    for (; run_queue.head != nullptr && left > 0; --left) {
        Thread* t = run_queue.take();
        (t->begun ? others : fresh).add(t);
    }
    if (run_queue.head == nullptr) made_before = stats.threads_made;
    others.append(run_queue);
    run_queue = others;
    fresh.append(hogs);
    hogs = fresh;
}

// Threads that hand over quickly need not ask the kernel so often: a poll takes as long as 10 to 40
// hand-overs. What comes from outside waits for 50 us at most, or for the time of `fewest`.
void set_pace_of_polls(bool many_switches) {
    constexpr uint64_t quick = 25'000;
    static uint64_t last = 0;
    uint64_t passed = loop_time() - last;
    last += passed;
    if (passed > 2 * quick) {
        switches_per_poll = fewest_per_poll;
    } else if (many_switches && passed < quick && switches_per_poll < most_per_poll) {
        switches_per_poll *= 2;
    }
}

}  // namespace

const char* scheduler_start() {
    if (self != nullptr) return nullptr;
    sys::find_clock();
    constexpr rlim_t own_descriptors = 64;
    sys::LiftedLimit room(RLIMIT_NOFILE, own_descriptors);
    if (const char* problem = thread_block_prepare()) return problem;
    if (const char* problem = context_prepare()) return problem;
    if (const char* problem = loop_load()) return problem;
    if (const char* problem = fd_table_start()) return problem;
    if (const char* problem = parking_lot_start()) return problem;
    Thread* me = thread_first();
    loop_thread = loop_start();
    if (loop_thread == nullptr) return "the event loop could not be made";
    self = me;
    scheduler_active = true;
    late_modules_prepare();
    return nullptr;
}

void scheduler_abandon() {
    if (loop_thread == nullptr) return;
    self = nullptr;
    scheduler_active = false;
    thread_release(loop_thread);
    loop_thread = nullptr;
    run_queue = hogs = RunQueue{};
    switches_since_poll = 0;
    timers.clear();
    dns_abandon();
    loop_abandon();
    offload_abandon();
    fd_table_abandon();
    parking_lot_abandon();
    threads_abandon_others();
    slices_abandon();
}

void run_queue_add(Thread* t) { run_queue.add(t); }

bool run_queue_empty() { return run_queue.head == nullptr && hogs.head == nullptr; }

void switch_away(Thread* me) { leave(me); }

bool somebody_is_due() {
    return run_queue.head != nullptr || timers.next() <= sys::now() || loop_has_events();
}

void* loop_block() { return loop_thread->block; }

void switch_to_loop_from(Context* from) { green_context_switch(from, &loop_thread->context); }

static void switch_from_loop(Thread* loop, Thread* next, Thread* lender) {
    if (next != lender || next->shares_stack) return switch_to(loop, next);
    ++stats.switches;
    Context there = next->context;
    there.fs = nullptr;  // its block is loaded
    context_switch_by_jump(&loop->context, &there);
}

void run_next_from_loop(Thread* loop, Thread* lender) {
    // Many who never wait for long must not keep the hogs from the CPU for ever, nor must a few who
    // compute for a part of a slice each.
    constexpr uint64_t patience = 10 * sys::millisecond;
    static uint64_t last_turn = 0;
    static bool hog_goes = false;
    bool many = switches_since_poll >= switches_per_poll;
    bool late = !hog_goes && loop_time() - last_turn > patience;
    bool hogs_turn = run_queue.head == nullptr || many || late;
    hog_goes = hogs_turn && hogs.head != nullptr;
    if (hog_goes || hogs.head == nullptr) last_turn = loop_time();
    set_pace_of_polls(many);
    switches_since_poll = 0;
    if (!hog_goes) return switch_from_loop(loop, run_queue.take(), lender);
    hogs_turn_at = stats.switches + 1;
    if (on_hogs_turn != nullptr) on_hogs_turn();
    switch_from_loop(loop, hogs.take(), lender);
}

void report_and_wait_on(Thread* me) {
    if (park_on_report != nullptr) park_on_report();
    me->state = State::parked;
    switch_away(me);
}

Wake park(Park kind, sys::Deadline deadline) { return park_here(self, kind, deadline); }

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
    switch_to_loop(me);
}

void poll_before_switch() { switches_since_poll = switches_per_poll; }

void yield_as_hog() {
    Thread* me = self;
    me->unparked_calls = 0;
    defer_new_threads();
    hogs.add(me);
    switch_to_loop(me);
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
