// The hash table behind parking_lot.h. It doubles when there are more waiters than buckets, so that
// a wake costs the same with a thousand threads and with a million; its memory comes from mmap(2).

#include "runtime/parking_lot.h"

#include <sys/mman.h>

#include "runtime/scheduler.h"

namespace green {

namespace {

struct Bucket {
    AddressWait* first;
    AddressWait* last;
};

Bucket* table = nullptr;
unsigned table_bits = 0;
size_t waiters = 0;

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
    --waiters;
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

// Takes up to `count` waiters of `address` with a bit of `mask` out of the lot.
template <class Act>
unsigned take(const void* address, unsigned count, uint32_t mask, Act act) {
    if (waiters == 0) return 0;
    unsigned taken = 0;
    for (AddressWait* w = bucket_of(address).first; w != nullptr && taken < count;) {
        AddressWait* next = w->next;
        // One who timed out but has not run yet must not swallow a wake-up meant for another.
        bool waits = w->address == address && w->thread->state == State::parked;
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
    waiters = 0;
}

Wake wait_address(const void* address, sys::Deadline deadline, uint32_t tag, bool first) {
    Thread* me = self;
    AddressWait& w = me->wait;
    w.address = address;
    w.thread = me;
    w.tag = tag == 0 ? UINT32_MAX : tag;
    if (++waiters > size_t{1} << table_bits) grow();
    if (first) {
        link_first(bucket_of(address), &w);
    } else {
        link_last(bucket_of(address), &w);
    }
    Wake why = park(Park::address, deadline);
    if (w.address != nullptr) unlink(&w);
    return why;
}

unsigned wake_address_tagged(const void* address, unsigned count, uint32_t mask) {
    return take(address, count, mask, [](AddressWait* w) { unpark(w->thread); });
}

unsigned wake_address(const void* address, unsigned count) {
    return wake_address_tagged(address, count, UINT32_MAX);
}

unsigned requeue_address(const void* from, const void* to, unsigned count) {
    if (from == to) return 0;
    return take(from, count, UINT32_MAX, [to](AddressWait* w) {
        w->address = to;
        ++waiters;
        link_last(bucket_of(to), w);
    });
}

bool address_has_waiters(const void* address, uint32_t mask) {
    if (waiters == 0) return false;
    for (AddressWait* w = bucket_of(address).first; w != nullptr; w = w->next) {
        if (w->address == address && (w->tag & mask) != 0) return true;
    }
    return false;
}

}  // namespace green
