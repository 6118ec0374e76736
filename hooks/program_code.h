// Where an instruction belongs: the program's own code, in which a thread may be interrupted as it
// could be natively, or a library whose inner state must not be seen half-way from another green
// thread: ours, those it calls, and libc, which leaves out its locks while there is one kernel
// thread.
#pragma once

#include <stdint.h>

namespace green {

// Finds the libraries. Once, before the next. Uses dl_iterate_phdr(3).
void program_code_prepare();

// Async-signal-safe.
bool in_program_code(uintptr_t pc);

// The interrupted instruction of a signal handler's third argument.
uintptr_t interrupted_pc(const void* ucontext);

}  // namespace green
