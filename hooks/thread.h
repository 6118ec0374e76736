// Threads: what other hooks need of hooks/thread.cpp.
#pragma once

#include "hooks/hook.h"

namespace green {

// Ends the calling green thread as pthread_exit(3) does: unwinds its stack, never returns.
[[noreturn]] void exit_thread(void* value);

// The first thread has become a green one: what it was scheduled by, others inherit.
void scheduling_activate();

}  // namespace green
