// Preemption: a thread that computes without a call must not keep the others waiting.
#pragma once

namespace green {

// The slice in milliseconds of CPU time; 0: no preemption (GREEN_PREEMPT).
extern unsigned preempt_slice_ms;

// A second thread exists: from now on the running one is interrupted after each slice.
void preempt_start();

// In the child after fork(2), where timers do not exist any more.
void preempt_after_fork_in_child();

// Set when a slice ended where no switch was possible: the next hook yields instead.
extern volatile bool preempt_due;

}  // namespace green
