// Slabs and their free lists, one per size class: see stack.h.

#include "runtime/stack.h"

#include <sys/mman.h>

#include <algorithm>

#include "runtime/stats.h"
#include "runtime/sys.h"

#ifndef MADV_GUARD_INSTALL
constexpr int MADV_GUARD_INSTALL = 102;
#endif

namespace green {

namespace {

constexpr size_t page = 4096;
constexpr unsigned max_classes = 128;
constexpr size_t address_space = size_t{1} << 47;
constexpr size_t max_slab = size_t{16} << 30;
constexpr unsigned hot_slots = 1024;  // free slots whose pages are left alone

// Lies in the topmost bytes of every slot, above its usable part.
struct SlotEnd {
    SlotEnd* next_free;
    size_t index;
};

static_assert(sizeof(SlotEnd) == stack_slot_end);

struct SizeClass {
    size_t size = 0, guard = 0;
    SlotEnd* free = nullptr;
    unsigned free_count = 0;
    char* slab = nullptr;  // the part of the newest slab that was never handed out
    size_t slab_left = 0;
    size_t slab_slots = 8;
    size_t made = 0;     // slots that were handed out, ever
    size_t guarded = 0;  // slots that come next and have their guards
};

SizeClass classes[max_classes];
unsigned next_index = 0;
bool guards_by_madvise = true;

size_t round_up(size_t n, size_t to) { return (n + to - 1) / to * to; }

// Sizes are rounded to eighths of a power of two, so that few classes serve all requests. Those of
// large stacks are not, as long as there are classes to spare: their guard is where the program
// expects it.
size_t class_size(size_t size) {
    bool spare = classes[max_classes / 2].size == 0;
    if (spare && size >= stack_exact_from && size % page == 0) return size;
    size = round_up(size, 4 * page);
    size_t step = 4 * page;
    while (step * 16 < size) step *= 2;
    return round_up(size, step);
}

SizeClass* find_class(size_t size, size_t guard) {
    for (auto& c : classes) {
        if (c.size == 0) {
            c.size = size;
            c.guard = guard;
            return &c;
        }
        if (c.size == size && c.guard == guard) return &c;
    }
    return nullptr;
}

bool grow(SizeClass& c) {
    size_t slot = c.size + c.guard;
    for (size_t count = c.slab_slots; count > 0; count /= 2) {
        size_t bytes = slot * count;
        long memory = sys::invoke(SYS_mmap, nullptr, bytes, PROT_READ | PROT_WRITE,
                                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
        if (sys::failed(memory)) continue;
        sys::invoke(SYS_madvise, memory, bytes, MADV_NOHUGEPAGE);
        c.slab = reinterpret_cast<char*>(memory);
        c.slab_left = bytes;
        if (c.slab_slots < 1024 && slot * c.slab_slots * 2 <= max_slab) c.slab_slots *= 2;
        return true;
    }
    return false;
}

bool install_guard(char* at, size_t bytes) {
    if (bytes == 0) return true;
    if (guards_by_madvise) {
        if (!sys::failed(sys::invoke(SYS_madvise, at, bytes, MADV_GUARD_INSTALL))) return true;
        guards_by_madvise = false;
    }
    return !sys::failed(sys::invoke(SYS_mprotect, at, bytes, PROT_NONE));
}

// For as many slots as there are already, at once. Each writes to the upper page tables, and where
// a hypervisor keeps shadows of these, it throws away what it has of the GiB around: with a guard
// for each new thread, all that lived there paid 15 us at their next call.
bool install_guards(SizeClass& c) {
    constexpr size_t most_ahead = 128;
    size_t slot = c.size + c.guard;
    size_t count = std::min({c.slab_left / slot, std::max<size_t>(c.made, 1), most_ahead});
    while (c.guarded < count && install_guard(c.slab + c.guarded * slot, c.guard)) ++c.guarded;
    return c.guarded > 0;
}

SlotEnd* end_of(const StackSlot& slot) { return reinterpret_cast<SlotEnd*>(slot.base + slot.size); }

}  // namespace

bool stack_allocate(size_t size, size_t guard, StackSlot* slot) {
    if (size >= address_space || guard >= address_space) return false;  // sums could overflow
    SizeClass* c = find_class(class_size(size + sizeof(SlotEnd)), round_up(guard, page));
    if (c == nullptr) return false;
    slot->size = c->size - sizeof(SlotEnd);
    slot->size_class = static_cast<unsigned>(c - classes);
    slot->fresh = c->free == nullptr;
    if (!slot->fresh) {
        SlotEnd* end = c->free;
        c->free = end->next_free;
        --c->free_count;
        slot->base = reinterpret_cast<char*>(end) - slot->size;
        slot->index = static_cast<unsigned>(end->index);
        ++stats.stacks;
        return true;
    }
    if (c->slab_left == 0 && !grow(*c)) return false;
    if (c->guarded == 0 && !install_guards(*c)) return false;
    slot->base = c->slab + c->guard;
    slot->index = next_index++;
    end_of(*slot)->index = slot->index;
    c->slab += c->size + c->guard;
    c->slab_left -= c->size + c->guard;
    --c->guarded;
    ++c->made;
    ++stats.stacks;
    return true;
}

void stack_free(const StackSlot& slot, size_t keep) {
    SizeClass& c = classes[slot.size_class];
    SlotEnd* end = end_of(slot);
    end->next_free = c.free;
    --stats.stacks;
    c.free = end;
    if (++c.free_count > hot_slots && slot.size > keep + page) {
        size_t cold = (slot.size - keep) / page * page;
        sys::invoke(SYS_madvise, slot.base, cold, MADV_DONTNEED);
    }
}

}  // namespace green
