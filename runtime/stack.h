// Stacks: address space handed out in slots from large mappings ("slabs"), one guard page each.
//
//     slab:  |guard|      slot 0      |guard|      slot 1      |guard| ...
//                   low <-- grows -- top
//
// A slot is reserved and not committed: what a thread never touches costs nothing, so the default
// size can be RLIMIT_STACK's 8 MiB as in glibc. Guards are MADV_GUARD_INSTALL (Linux 6.13), which
// leaves a slab one mapping however many stacks it has; older kernels get mprotect(2), and with it
// vm.max_map_count as a limit (about 32,700 stacks). Huge pages are kept off: one would commit 2
// MiB for a thread that uses 8 KiB. Freed slots are kept hot, last in, first out; a slot that is
// freed while many others are free gives its lower pages back to the kernel.
//
// No malloc. One kernel thread at a time.
#pragma once

#include <stddef.h>

namespace green {

struct StackSlot {
    char* base = nullptr;     // lowest usable byte; the guard ends here
    size_t size = 0;          // usable bytes above it, a multiple of 16
    unsigned index = 0;       // a running number: what to colour by
    unsigned size_class = 0;  // whom it belongs to
    bool fresh = true;        // never used: all zeroes
};

// A slot of at least `size` bytes above a guard of `guard` bytes (0: none).
// False when address space is exhausted (errno is untouched). From `stack_exact_from` bytes on a
// size that leaves `stack_slot_end` bytes of a whole page is not rounded up.
constexpr size_t stack_exact_from = size_t{256} << 10, stack_slot_end = 16;
bool stack_allocate(size_t size, size_t guard, StackSlot* slot);

// Returns a slot; the caller may still run on it until it next switches. `keep` bytes at the top
// stay as they are, the rest may read as zeroes when the slot is used again.
void stack_free(const StackSlot& slot, size_t keep);

}  // namespace green
