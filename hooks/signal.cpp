#include "hooks/signal.h"
namespace green {
bool run_due_signals(bool) { return false; }
MaskDuringCall::MaskDuringCall(const sigset_t*) {}
MaskDuringCall::~MaskDuringCall() { (void)changed_; (void)before_; }
void signals_activate() {}
void signals_before_fork() {}
void signals_after_fork_in_parent() {}
void signals_after_fork_in_child() {}
void signals_thread_begins(Thread*) {}
void signals_thread_ends(Thread*) {}
}
