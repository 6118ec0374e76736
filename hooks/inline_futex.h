// Libraries that wait behind libc's back.
#pragma once

namespace green {

// Whether the object that contains `caller` makes futex(2) calls with a `syscall` instruction of
// its own (GNU OpenMP's runtime does), or all its calls (Free Pascal's): its threads would stop the
// one kernel thread, and no hook can see it. Returns the object's name, or null. Looks at each
// object once.
const char* inline_futex_in(const void* caller);

// From here on such calls go to the hook (audit.cpp), each by a trap, and everybody's other system
// calls are trapped as well. False: the kernel offers no way.
bool catch_inline_futexes();

// The hook: futex(2) by its six arguments, in the kernel's convention for results (syscall.cpp).
long green_futex(const long* a);

}  // namespace green
