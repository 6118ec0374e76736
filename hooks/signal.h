// Signals and green threads: what other hooks need of hooks/signal.cpp.
#pragma once

#include <signal.h>

#include "hooks/activate.h"
#include "hooks/signal_queue.h"
#include "runtime/thread.h"

namespace green {

// Set by the real signal handler: somebody must look at the queue. Cheap to test at every hook.
extern volatile bool signals_arrived;

// Runs the handlers of signals that are due on the calling thread, after an interrupted wait that
// has been taken down. True if the call must fail with EINTR: a handler ran, and either it was not
// installed with SA_RESTART or the call is one that is never restarted (signal(7)). `interrupted`:
// the handlers' third argument, where a signal's handler of ours calls this in the program's code.
bool run_due_signals(bool restartable, void* interrupted = nullptr);

// For calls that natively begin or end with the handlers of all signals sent before: runs those
// that are due on the calling thread.
void handle_what_came();

// ppoll(2), pselect(2) and epoll_pwait(2): the mask holds for the length of the call. Null: no
// change.
class MaskDuringCall {
  public:
    explicit MaskDuringCall(const sigset_t* mask);
    ~MaskDuringCall();
    MaskDuringCall(const MaskDuringCall&) = delete;
    MaskDuringCall& operator=(const MaskDuringCall&) = delete;

  private:
    uint64_t before_ = 0;
    bool changed_ = false;
};

// What is said about a signal that this process sends.
siginfo_t told_of_own(int signal, int code, sigval value);

// pthread_kill(3) for a green thread, and a signal with all that is said about it: 0 or an error
// number.
int signal_thread(Thread* thread, int signal, int code = SI_TKILL, sigval value = {});
int signal_thread(Thread* thread, const siginfo_t& info);

// What a thread was sent by one of its timers and has not taken yet; null: nothing.
siginfo_t* pending_of_timer(const Thread* thread, int signal, int timer);
void drop_pending_of_timer(Thread* thread, int signal, int timer);

// Other threads ran inside a signal handler: what its return restores is the mask of today. The
// third argument of the handler.
void signals_fix_frame(void* context);

// A program that is executed inherits the kernel's mask, which is not the calling thread's (the
// file's opening comment): it is made so while this lives.
void mask_to_kernel();
void mask_from_kernel();
class OwnMaskInKernel {
  public:
    OwnMaskInKernel() : mine_(self != nullptr && !in_spawned_child()) {
        if (mine_) mask_to_kernel();
    }
    ~OwnMaskInKernel() {
        if (mine_) mask_from_kernel();
    }
    OwnMaskInKernel(const OwnMaskInKernel&) = delete;
    OwnMaskInKernel& operator=(const OwnMaskInKernel&) = delete;

  private:
    bool mine_;
};

// For sigwait(3): the signals that the calling thread waits for (0: none any more), whichever of
// them is its or the process's by now, unless the kernel has one that comes first.
void signals_await(Mask wanted);
bool signals_take_awaited(Mask wanted, siginfo_t* info);

// What the program has given to signalfd(2) though some thread lets it in: not the kernel keeps it.
Mask signals_read_and_let_in();

// What only the calling thread was sent, and keeps out, while others do not, lies in its queue. The
// kernel has it too during this, for a question that may be about a signalfd(2).
class SignalsShown {
  public:
    SignalsShown();
    ~SignalsShown() {
        if (shown_ != 0) take_back();
    }
    SignalsShown(const SignalsShown&) = delete;
    SignalsShown& operator=(const SignalsShown&) = delete;

  private:
    void take_back();
    Mask shown_ = 0;
};

// For signalfd(2): what threads sent to each other and all of them block is left to the kernel from
// now on.
void signals_read_by_descriptor(Mask read);

// read(2) of a signalfd: what other threads do not block is in the queues, not in the kernel.
// False, and nothing done, if it is no signalfd.
bool signals_read(int fd, void* buffer, size_t size, long* result);

// The library's states: from the first thread on handlers are ours, in a child they are the
// program's own again.
void signals_activate();
void signals_after_fork_in_child();

// In the child of a kernel thread that was not ours: its mask is that of `owner`.
void signals_adopt_caller();

// Whether a handler of the program's could run, which might wake a thread.
bool signal_handlers_installed();

// SIGSYS becomes the auditor's: it is blocked by no mask, and the program's action for it is kept
// here, to be asked for and changed. What is not the auditor's is passed on.
void signals_take_sigsys(void (*handler)(int, siginfo_t*, void*));
void signals_give_sigsys_back();
void signals_pass_sigsys(siginfo_t* info, void* context);
long signals_sigsys_action(const sys::SignalAction* act, sys::SignalAction* old);

// A green thread starts (with the mask it inherited) or ends.
void signals_thread_begins(Thread* thread);
void signals_thread_ends(Thread* thread);

}  // namespace green
