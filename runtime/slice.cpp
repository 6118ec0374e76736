// The mover and the memory of flows: see slice.h.

#include "runtime/slice.h"

#include <dlfcn.h>
#include <netdb.h>
#include <string.h>
#include <sys/resource.h>
#include <new>

#include "runtime/scheduler.h"

namespace green {

namespace {

struct Piece {
    char* at;
    size_t size;
};
constexpr int most_pieces = 8;
Piece pieces[most_pieces];
int piece_count = 0;
size_t state_used = 0;

char* base = nullptr;  // the end of the shared stack; null: there are no flows
void* block = nullptr;
size_t capacity = 0;  // of a slot
Thread* resident = nullptr;

// The mover: what it is to do next, and for whom.
Context mover;
Snapshot* wanted = nullptr;  // a snapshot of the resident
Thread* arriving = nullptr;  // or else: bring this one in
bool taking = false;         // who comes out of slice_take() is the one that went in
alignas(64) char mover_stack[32768];

void copy_state_out(char* to) {
    for (int i = 0; i < piece_count; to += pieces[i++].size) {
        memcpy(to, pieces[i].at, pieces[i].size);
    }
}

void copy_state_in(const char* from) {
    for (int i = 0; i < piece_count; from += pieces[i++].size) {
        memcpy(pieces[i].at, from, pieces[i].size);
    }
}

bool fits(const char* low) { return low < base && static_cast<size_t>(base - low) <= capacity; }

void copy_out(const Context& context, StackCopy* copy) {
    copy->low = static_cast<char*>(context_lowest(context));
    copy->size = static_cast<size_t>(base - copy->low);
    memcpy(copy->slot.base, copy->low, copy->size);
    copy_state_out(copy->state);
}

void copy_in(Thread* t) {
    const StackCopy& copy = t->slice->copy;
    memcpy(copy.low, copy.slot.base, copy.size);
    copy_state_in(copy.state);
    *thread_local_in(block, &self) = t;
    *thread_local_in(block, &owner) = t;
    resident = t;
}

void run_mover() {
    for (;;) {
        Thread* next = resident;
        if (wanted != nullptr) {
            copy_out(resident->context, &wanted->copy);
            wanted->context = resident->context;
            wanted = nullptr;
        } else if (resident != nullptr &&
                   !fits(static_cast<char*>(context_lowest(resident->context)))) {
            // It waits on a stack that is not the shared one (a handler's alternate stack, a
            // coroutine of its own), so nobody knows which part of this one it needs: the others
            // wait until it is back.
            run_queue_add(arriving);
            next = nullptr;
        } else {
            if (resident != nullptr) copy_out(resident->context, &resident->slice->copy);
            copy_in(arriving);
            next = arriving;
        }
        if (next == nullptr) {
            switch_to_loop_from(&mover);
        } else {
            green_context_switch(&mover, &next->context);
        }
    }
}

// A slot for the bytes and, above them, a Slice; for a Thread as well if there is none yet.
Slice* make_slice(StackSlot* slot) {
    if (!stack_allocate(capacity + sizeof(Slice) + sizeof(Thread) + 128, 0, slot)) return nullptr;
    auto at = reinterpret_cast<uintptr_t>(slot->base + slot->size - sizeof(Slice)) & ~uintptr_t{63};
    auto* slice = new (reinterpret_cast<void*>(at)) Slice;
    slice->copy.slot = *slot;
    return slice;
}

constexpr size_t kept_hot = 4096;

size_t stack_limit() {
    constexpr rlim_t least = rlim_t{8} << 20, most = rlim_t{256} << 20;
    rlimit limit = {};
    sys::invoke(SYS_prlimit64, 0, RLIMIT_STACK, nullptr, &limit);
    return limit.rlim_cur < least ? least : limit.rlim_cur > most ? most : limit.rlim_cur;
}

}  // namespace

bool slice_add_state(void* at, size_t size) {
    if (piece_count == most_pieces || state_used + size > slice_state_size) return false;
    pieces[piece_count++] = {static_cast<char*>(at), size};
    state_used += size;
    return true;
}

bool slices_start() {
    Thread* me = self;
    if (me->slice != nullptr) return true;
    if (me->slot.base != nullptr || base != nullptr) return false;
    auto* end = static_cast<char**>(dlsym(RTLD_DEFAULT, "__libc_stack_end"));
    if (end == nullptr) return false;
    capacity = stack_limit();
    base = *end;
    StackSlot slot;
    Slice* slice =
        fits(static_cast<char*>(__builtin_frame_address(0))) ? make_slice(&slot) : nullptr;
    if (slice == nullptr) {
        base = nullptr;
        return false;
    }
    me->slice = slice;
    me->shares_stack = true;
    block = me->block;
    resident = me;
    if (piece_count == 0) {
        slice_add_state(thread_block_tid(block), sizeof(pid_t));
        slice_add_state(thread_block_cancel_word(block), sizeof(int));
        slice_add_state(&errno, sizeof errno);
        slice_add_state(&h_errno, sizeof h_errno);
        slice_add_state(thread_block_cleanup(block), thread_block_cleanup_size);
    }
    context_make(&mover, mover_stack + sizeof mover_stack, run_mover);
    mover.fs = loop_block();
    return true;
}

bool slice_take(Snapshot* s, bool* copied) {
    Thread* me = self;
    if (me != resident || !fits(static_cast<char*>(__builtin_frame_address(0)))) return false;
    if (s->copy.slot.base == nullptr && !stack_allocate(capacity, 0, &s->copy.slot)) return false;
    s->blocked = me->blocked;
    wanted = s;
    // A copy may have the memory of a thread that has ended: who is `self` proves nothing.
    taking = true;
    green_context_switch(&me->context, &mover);
    *copied = !taking;
    taking = false;
    return true;
}

Thread* slice_resume(const Snapshot& s) {
    StackSlot slot;
    Slice* slice = make_slice(&slot);
    if (slice == nullptr) return nullptr;
    auto at = (reinterpret_cast<uintptr_t>(slice) - sizeof(Thread)) & ~uintptr_t{63};
    auto* t = new (reinterpret_cast<void*>(at)) Thread;
    t->slot = slot;
    t->slice = slice;
    t->shares_stack = true;
    t->block = block;
    t->tid = thread_new_tid();
    t->detached = true;
    t->context = s.context;
    t->blocked = s.blocked;
    slice->copy.low = s.copy.low;
    slice->copy.size = s.copy.size;
    memcpy(slot.base, s.copy.slot.base, s.copy.size);
    memcpy(slice->copy.state, s.copy.state, sizeof s.copy.state);
    memcpy(slice->copy.state, &t->tid, sizeof t->tid);  // the first piece
    return t;
}

void snapshot_drop(Snapshot* s) {
    if (s->copy.slot.base != nullptr) stack_free(s->copy.slot, kept_hot);
    *s = {};
}

void slice_leaves(Thread* t) {
    if (resident == t) resident = nullptr;
}

void slice_release(Thread* t) {
    StackSlot slot = t->slice->copy.slot;
    stack_free(slot, kept_hot);
}

void slice_switch(Thread* from, Thread* to) {
    if (to == resident) return green_context_switch(&from->context, &to->context);
    arriving = to;
    green_context_switch(&from->context, &mover);
}

char* shared_stack_base() { return base; }

size_t shared_stack_above(long address) {
    auto* at = reinterpret_cast<const char*>(address);
    return base != nullptr && fits(at) ? static_cast<size_t>(base - at) : 0;
}

FdWait* slice_keep(Thread* t, FdWait* waits, unsigned count) {
    if (shared_stack_above(sys::arg(waits)) == 0 || count > Slice::few) return waits;
    memcpy(t->slice->waits, waits, count * sizeof(FdWait));
    return t->slice->waits;
}

void slices_abandon() {
    base = nullptr;
    resident = nullptr;
    wanted = nullptr;
    arriving = nullptr;
    if (owner == nullptr) return;
    owner->slice = nullptr;
    owner->shares_stack = false;
    owner->slot = {};
}

}  // namespace green
