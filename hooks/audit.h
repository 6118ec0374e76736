// The auditor (GREEN_AUDIT=1): which system calls got past the hooks, and could have stopped every
// green thread.
#pragma once

#include <stdint.h>

namespace green {

// One kind of such a call: what was called, where, and on whose behalf.
struct Surprise {
    static constexpr int depth = 8;
    const char* call;
    uint64_t count;
    const void* caller;         // in the program's own code; null: not found
    const void* frames[depth];  // the instruction behind the call, then return addresses; 0: end
};
constexpr int most_surprises = 128;
extern Surprise surprises[most_surprises];
extern uint64_t surprises_left_out;  // there was no room for their kind

// Set by shim/; called before the first call of a kind is made, which may never return. May be
// null.
extern void (*on_new_surprise)(const Surprise&);

extern bool audit_wanted;       // set by shim/
extern bool audited;            // the kernel can do it, and did
extern uint64_t audited_calls;  // how many were looked at

// From the calling kernel thread's first green thread on; in the child of a fork the kernel has
// ended it.
void audit_start();
void audit_after_fork_in_child();

// The call by its number, if it could wait (hooks/audit_rules.cpp): its name; else null. Makes
// system calls, none that waits or takes anything from the program.
const char* audit_waits(long number, const long* arguments);

}  // namespace green
