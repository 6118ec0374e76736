// Making and ending green threads: see thread.h for the memory layout.

#include "runtime/thread.h"

#include <assert.h>
#include <string.h>
#include <new>

#include "runtime/parking_lot.h"
#include "runtime/scheduler.h"
#include "runtime/slice.h"

namespace green {

__thread Thread* self = nullptr;
__thread Thread* owner = nullptr;
Stats stats;

namespace {

Thread first_thread;
Thread* alive = nullptr;
pid_t last_tid = 0;

constexpr size_t colours = 8, colour_step = 256;
// A hook needs more stack than the system call it stands for: this much is added to what the
// program asked for.
constexpr size_t hook_reserve = 16384;

void link_alive(Thread* t) {
    t->previous_alive = nullptr;
    t->next_alive = alive;
    if (alive != nullptr) alive->previous_alive = t;
    alive = t;
}

void unlink_alive(Thread* t) {
    (t->previous_alive == nullptr ? alive : t->previous_alive->next_alive) = t->next_alive;
    if (t->next_alive != nullptr) t->next_alive->previous_alive = t->previous_alive;
}

// What lies above a stack, and the reserve below it.
size_t overhead() {
    return thread_block_size() + thread_block_alignment() + sizeof(Thread) + colours * colour_step +
           hook_reserve;
}

// A large stack holds all that belongs to its thread, as in glibc, and ends at its guard: Rust and
// other runtimes tell an overflow by where it is. A small one must not lose so much, nor one beside
// very large thread-local variables.
size_t slot_size(const ThreadOptions& options) {
    if (options.user_stack != nullptr) return overhead();
    bool large = options.stack_size >= stack_exact_from && overhead() <= options.stack_size / 8;
    if (!large) return overhead() + options.stack_size;
    constexpr size_t page = 4096;
    return (options.stack_size + page - 1) / page * page - stack_slot_end;
}

void run_entry() {
    Thread* me = owner;
    me->begun = true;
    me->entry(me);
    thread_finish();
}

}  // namespace

// Thread ids lie above the kernel's largest (PID_MAX_LIMIT, 2^22) and within a futex word's 30
// bits. They start at a place that depends on the process, because two processes that share a mutex
// must not take each other's threads for their own.
pid_t thread_new_tid() {
    constexpr uint32_t low = 1U << 22, high = 1U << 30;
    if (last_tid == 0) {
        auto pid = static_cast<uint32_t>(sys::invoke(SYS_getpid));
        last_tid = static_cast<pid_t>(low + (pid * 2654435761U) % (high - low));
    }
    last_tid = last_tid + 1 < static_cast<pid_t>(high) ? last_tid + 1 : static_cast<pid_t>(low);
    return last_tid;
}

void thread_adopt_caller() {
    Thread* next = first_thread.next_alive;
    first_thread = Thread{};
    first_thread.next_alive = next;
    first_thread.block = __builtin_thread_pointer();
    first_thread.context.fs = first_thread.block;
    first_thread.tid = static_cast<pid_t>(sys::invoke(SYS_gettid));
    first_thread.begun = true;
    owner = &first_thread;
}

static Thread* kernels_first = nullptr;

Thread* thread_first() {
    if (owner == nullptr) {
        thread_adopt_caller();
        link_alive(&first_thread);
    }
    kernels_first = owner;
    return owner;
}

Thread* thread_of_process() { return kernels_first; }

Thread* thread_make(const ThreadOptions& options, void (*entry)(Thread*)) {
    StackSlot slot;
    if (options.stack_size > SIZE_MAX - overhead()) return nullptr;
    size_t wanted = slot_size(options);
    if (!stack_allocate(wanted, options.guard_size, &slot)) return nullptr;

    char* top = slot.base + slot.size - slot.index % colours * colour_step;
    uintptr_t at = reinterpret_cast<uintptr_t>(top) - thread_block_size();
    at &= ~(thread_block_alignment() - 1);
    pid_t tid = thread_new_tid();
    void* block = thread_block_make(reinterpret_cast<void*>(at), slot.fresh, tid);
    if (block == nullptr) {
        stack_free(slot, overhead());
        return nullptr;
    }
    at = (at - sizeof(Thread)) & ~uintptr_t{alignof(Thread) - 1};
    auto* t = new (reinterpret_cast<void*>(at)) Thread;
    t->block = block;
    t->tid = tid;
    t->slot = slot;
    t->entry = entry;
    t->guard_size = options.guard_size;
    t->stack_size = options.stack_size;
    char* stack_top = reinterpret_cast<char*>(t);
    if (options.user_stack != nullptr) {
        t->stack_low = options.user_stack;
        stack_top = options.user_stack + options.stack_size;
    } else {
        // As in glibc, what is reported includes the thread's own data above the stack proper, and
        // begins on a page: virtual machines protect pages there.
        constexpr uintptr_t page = 4096;
        uintptr_t end = (reinterpret_cast<uintptr_t>(top) + page - 1) & ~(page - 1);
        t->stack_low = reinterpret_cast<char*>(end - t->stack_size);
    }
    context_make(&t->context, stack_top, run_entry);
    t->context.fs = block;
    *thread_local_in(block, &self) = t;
    *thread_local_in(block, &owner) = t;
    return t;
}

void thread_start(Thread* t) {
    link_alive(t);
    ++stats.threads_made;
    if (++stats.threads_alive > stats.threads_peak) stats.threads_peak = stats.threads_alive;
    t->state = State::runnable;
    run_queue_add(t);
}

void thread_finish() {
    Thread* me = self;
    assert(me->wait.address == nullptr && me->young.waits == nullptr && !me->timer.queued &&
           "every wait is taken down before its call returns or unwinds");
    unlink_alive(me);
    --stats.threads_alive;
    me->state = State::ended;
    wake_address(me, UINT32_MAX);  // whoever joins it
    if (me->slice != nullptr) slice_leaves(me);
    if (me->detached) thread_release(me);
    switch_away(me);
    __builtin_unreachable();
}

void thread_release(Thread* t) {
    if (t->slice != nullptr) return slice_release(t);
    if (t->slot.base == nullptr) return;  // the program's first thread
    thread_block_end(t->block);
    context_end(&t->context);
    *thread_local_in(t->block, &owner) = nullptr;
    stack_free(t->slot, overhead());
}

Thread* thread_of(void* block) { return *thread_local_in(block, &owner); }

Thread* threads_alive() { return alive; }

Thread* thread_by_tid(pid_t tid) {
    Thread* t = alive;
    while (t != nullptr && t->tid != tid) t = t->next_alive;
    return t;
}

void threads_abandon_others() {
    Thread* me = owner;
    for (Thread* t = alive; t != nullptr;) {
        Thread* next = t->next_alive;
        if (t != me) thread_release(t);
        t = next;
    }
    alive = nullptr;
    link_alive(me);
    me->timer = TimerNode{};
    me->joiner = nullptr;  // gone too, and its memory may be the next thread's
    me->tid = static_cast<pid_t>(sys::invoke(SYS_gettid));
    last_tid = 0;
    stats = Stats{};
}

}  // namespace green
