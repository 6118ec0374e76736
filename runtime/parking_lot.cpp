// The hash table behind parking_lot.h. It doubles when there are more waiters than buckets,
// so that a wake costs the same with a thousand threads and with a million; its memory comes from
// mmap(2). And the short list of addresses that kernel threads which are not ours want to have
// woken.

#include "runtime/parking_lot.h"

#include <sys/mman.h>

#include "runtime/loop.h"
#include "runtime/park.h"

namespace green {

bool outsiders_wait = false;
size_t address_waiters = 0;

namespace {

// What outsiders said, until the loop comes by. One that finds the list full waits for room.
constexpr int most_said = 64;
const void* said[most_said];
int said_count = 0;
int said_lock = 0;

void lock_said() {
    while (__atomic_exchange_n(&said_lock, 1, __ATOMIC_ACQUIRE) != 0) {
        sys::invoke(SYS_sched_yield);
    }
}
void unlock_said() { __atomic_store_n(&said_lock, 0, __ATOMIC_RELEASE); }

struct Bucket {
    AddressWait* first;
    AddressWait* last;
};

Bucket* table = nullptr;
unsigned table_bits = 0;

size_t table_bytes(unsigned bits) { return sizeof(Bucket) << bits; }

Bucket* table_make(unsigned bits) {
    long memory = sys::invoke(SYS_mmap, nullptr, table_bytes(bits), PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return sys::failed(memory) ? nullptr : reinterpret_cast<Bucket*>(memory);
}

Bucket& bucket_of(const void* address) {
    constexpr uint64_t golden_ratio = 0x9e3779b97f4a7c15;
    return table[(reinterpret_cast<uint64_t>(address) >> 2) * golden_ratio >> (64 - table_bits)];
}

void link_last(Bucket& b, AddressWait* w) {
    w->next = nullptr;
    w->previous = b.last;
    (b.last == nullptr ? b.first : b.last->next) = w;
    b.last = w;
}

void link_first(Bucket& b, AddressWait* w) {
    w->previous = nullptr;
    w->next = b.first;
    (b.first == nullptr ? b.last : b.first->previous) = w;
    b.first = w;
}

void unlink(AddressWait* w) {
    Bucket& b = bucket_of(w->address);
    (w->previous == nullptr ? b.first : w->previous->next) = w->next;
    (w->next == nullptr ? b.last : w->next->previous) = w->previous;
    w->address = nullptr;
    --address_waiters;
}

void grow() {
    Bucket* old = table;
    unsigned old_bits = table_bits;
    Bucket* larger = table_make(table_bits + 1);
    if (larger == nullptr) return;  // longer chains, nothing worse
    table = larger;
    ++table_bits;
    for (size_t i = 0; i < size_t{1} << old_bits; ++i) {
        for (AddressWait* w = old[i].first; w != nullptr;) {
            AddressWait* next = w->next;
            link_last(bucket_of(w->address), w);
            w = next;
        }
    }
    sys::invoke(SYS_munmap, old, table_bytes(old_bits));
}

// Whether a wake-up is for this thread. One who timed out but has not run yet must not swallow what
// is meant for another. One who was interrupted takes it, as in the kernel's queues: its handler
// runs, it may wait on, and then it would miss what came before it ran.
bool still_waits(const Thread* t) {
    return t->state == State::parked ||
           (t->state == State::runnable && t->wake == Wake::interrupted);
}

// Takes up to `count` waiters of `address` with a bit of `mask` out of the lot.
template <class Act>
unsigned take(const void* address, unsigned count, uint32_t mask, Act act) {
    if (address_waiters == 0) return 0;
    unsigned taken = 0;
    for (AddressWait* w = bucket_of(address).first; w != nullptr && taken < count;) {
        AddressWait* next = w->next;
        bool waits = w->address == address && still_waits(w->thread);
        if (waits && (w->tag & mask) != 0) {
            unlink(w);
            act(w);
            ++taken;
        }
        w = next;
    }
    return taken;
}

}  // namespace

void wake_from_outside(const void* address) {
    if (table == nullptr) return;
    for (bool done = false; !done;) {
        lock_said();
        done = said_count < most_said;
        if (done) said[said_count++] = address;
        unlock_said();
        loop_wake();
        if (!done) sys::invoke(SYS_sched_yield);
    }
}

void wake_for_outsiders() {
    lock_said();
    for (int i = 0; i < said_count; ++i) wake_address(said[i], UINT32_MAX);
    said_count = 0;
    unlock_said();
}

const char* parking_lot_start() {
    if (table != nullptr) return nullptr;
    table_bits = 10;
    table = table_make(table_bits);
    return table == nullptr ? "there is no memory for the parking lot" : nullptr;
}

void parking_lot_abandon() {
    if (table == nullptr) return;
    sys::invoke(SYS_munmap, table, table_bytes(table_bits));
    table = nullptr;
    address_waiters = 0;
    said_count = said_lock = 0;
    outsiders_wait = false;
}

Wake wait_address(const void* address, sys::Deadline deadline, uint32_t tag, bool first) {
    Thread* me = self;
    AddressWait& w = me->wait;
    w.address = address;
    w.thread = me;
    w.tag = tag == 0 ? UINT32_MAX : tag;
    if (++address_waiters > size_t{1} << table_bits) grow();
    if (first) {
        link_first(bucket_of(address), &w);
    } else {
        link_last(bucket_of(address), &w);
    }
    Wake why = park_here(me, Park::address, deadline);
    if (w.address != nullptr) unlink(&w);
    return why;
}

Wake wait_addresses(AddressWait* waits, unsigned count, sys::Deadline deadline, unsigned* woken) {
    Thread* me = self;
    *woken = count;
    for (AddressWait* w = waits; w != waits + count; ++w) {
        w->thread = me;
        w->tag = UINT32_MAX;
        if (++address_waiters > size_t{1} << table_bits) grow();
        link_last(bucket_of(w->address), w);
    }
    Wake why = park_here(me, Park::address, deadline);
    for (unsigned i = 0; i < count; ++i) {
        if (waits[i].address != nullptr) {
            unlink(&waits[i]);
        } else {
            *woken = i;
        }
    }
    return why;
}

unsigned wake_address_tagged(const void* address, unsigned count, uint32_t mask) {
    return take(address, count, mask, [](AddressWait* w) {
        Thread* t = w->thread;
        if (t->state == State::parked) return unpark(t);
        t->wake = Wake::ready;
        t->interrupt_next_park = true;  // the interruption is for what it does next
    });
}

unsigned wake_address(const void* address, unsigned count) {
    return wake_address_tagged(address, count, UINT32_MAX);
}

unsigned requeue_address(const void* from, const void* to, unsigned count) {
    if (from == to) return 0;
    return take(from, count, UINT32_MAX, [to](AddressWait* w) {
        w->address = to;
        ++address_waiters;
        link_last(bucket_of(to), w);
    });
}

bool address_has_waiters(const void* address, uint32_t mask) {
    if (address_waiters == 0) return false;
    for (AddressWait* w = bucket_of(address).first; w != nullptr; w = w->next) {
        if (w->address == address && (w->tag & mask) != 0) return true;
    }
    return false;
}

}  // namespace green
