// Preemption: a thread that computes without a call must not keep the others waiting.
#pragma once

#include <stdint.h>
#include <sys/socket.h>

namespace green {

// The slice in nanoseconds; 0: no preemption (GREEN_PREEMPT).
extern uint64_t preempt_slice;

// A second thread exists: from now on the running one is interrupted after each slice.
void preempt_start();

// A signal waits for the running thread to leave libc. From a signal handler, too.
void preempt_for_signals();

// In the child after fork(2), where timers do not exist any more.
void preempt_after_fork_in_child();

// Set when a slice ended where no switch was possible: the next hook yields instead.
extern volatile bool preempt_due;
void preempt_now();

// accept4(2) on a blocking listener from which another process may take the connection first: then
// it waits for a millisecond or two at most, and says -EINTR.
long accept_for_a_moment(int fd, sockaddr* address, socklen_t* size, int flags);

}  // namespace green
