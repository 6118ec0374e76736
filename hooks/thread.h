// Threads: what other hooks need of hooks/thread.cpp.
#pragma once

#include "hooks/hook.h"

namespace green {

// Ends the calling green thread as pthread_exit(3) does: unwinds its stack, never returns.
[[noreturn]] void exit_thread(void* value);

// Ends it as exit(2) does, by number: at once, with no handler or destructor.
[[noreturn]] void exit_thread_bare(int status);

}  // namespace green
