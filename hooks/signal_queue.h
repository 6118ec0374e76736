// Signals that are pending for a thread or for the process, queued as the kernel does it: the
// lowest number comes first, of one number the oldest, and a standard signal is there once. Takes
// memory from mmap(2), about as much as RLIMIT_SIGPENDING allows. To be called with no signal
// handler that does so too: by hooks and by the loop.
#pragma once

#include <signal.h>
#include <stdint.h>
#include <string.h>

namespace green {

// A set of signals as the kernel has it: one bit per signal, from bit 0.
using Mask = uint64_t;
constexpr Mask bit(int signal) { return Mask{1} << (signal - 1); }

inline Mask to_mask(const sigset_t* set) {
    Mask m;
    memcpy(&m, set, sizeof m);
    return m;
}
inline void to_set(Mask m, sigset_t* set) {
    sigemptyset(set);
    memcpy(set, &m, sizeof m);
}

// glibc keeps two signals for itself, and SIGKILL and SIGSTOP cannot be blocked.
constexpr Mask never_blocked = bit(32) | bit(33) | bit(SIGKILL) | bit(SIGSTOP);

struct QueuedSignal;  // an empty queue is a null pointer

// False if there is no room.
bool queue_signal(QueuedSignal** queue, const siginfo_t& info);

// Takes the first one that `allowed` has, if there is one.
bool dequeue_signal(QueuedSignal** queue, Mask allowed, siginfo_t* info);

// What this timer has sent and is still there, or null.
siginfo_t* queued_of_timer(QueuedSignal* queue, int signal, int timer);

// Takes that out of the queue.
void drop_of_timer(QueuedSignal** queue, int signal, int timer);

Mask queued_signals(const QueuedSignal* queue);

}  // namespace green
