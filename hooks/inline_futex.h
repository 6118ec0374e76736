// Libraries that wait behind libc's back.
#pragma once

namespace green {

// Whether the object that contains `caller` makes futex(2) calls with a `syscall` instruction of
// its own (GNU OpenMP's runtime does): its threads would stop the one kernel thread, and no hook
// can see it. Returns the object's name, or null. Looks at each object once.
const char* inline_futex_in(const void* caller);

}  // namespace green
