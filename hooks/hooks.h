// Hooks that other hooks call, by name: syscall(2) goes to the function that a number stands for.
#pragma once

#include <poll.h>

#include "hooks/hook.h"

extern "C" {
ssize_t hook_read(int, void*, size_t) __asm__("read");
ssize_t hook_write(int, const void*, size_t) __asm__("write");
int hook_close(int) __asm__("close");
int hook_nanosleep(const timespec*, timespec*) __asm__("nanosleep");
int hook_poll(pollfd*, nfds_t, int) __asm__("poll");
int hook_sched_yield() __asm__("sched_yield");
}

namespace green {
// A call that was handled natively while other threads could have run; for --stats.
void count_native(const char* function);
}  // namespace green
