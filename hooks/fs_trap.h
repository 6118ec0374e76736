// User mode's FS base where the kernel does not know that user mode can set it.
//
// A switch between threads changes the FS base (runtime/context.h): by wrfsbase, or, where
// AT_HWCAP2 does not offer FSGSBASE, by arch_prctl(2). Some hypervisors hide FSGSBASE from their
// guest's kernel and leave the instruction enabled, while arch_prctl(2) becomes a call of theirs: 4
// us, more than all else that a switch does. There the instruction is used nevertheless, with a
// trap for the one thing that goes wrong: whenever the kernel has run somebody else it brings back
// the base that it was last told.
//
//      arch_prctl(the trap)           a region that nobody may read or write
//      wrfsbase(thread's block) ...   the program runs
//      ... the kernel runs somebody else, and comes back with FS at the trap
//      mov %fs:0x28, %rax             SIGSEGV, before anything has changed
//      on_trap: wrfsbase(block)       and the instruction is repeated
//
// So the kernel has a handler of ours for SIGSEGV, and no mask of the kernel thread holds it; the
// action that the program (or the rest of this library) has for it stands behind that handler, to
// be asked for and set with kernel_action(). Where libc blocks all signals by itself the kernel is
// told the true base for as long (KernelKnowsFs). Under a debugger, which makes the kernel run
// somebody else at every step, and with GREEN_FSBASE=call, arch_prctl(2) it stays.
#pragma once

#include "runtime/sys.h"

namespace green {

extern bool fs_trap_wanted;
extern uint64_t fs_repairs;  // how often the kernel had brought the trap back

// From the first thread on, and back in the child of a fork: with the library's states.
void fs_trap_start();
void fs_trap_end();

// rt_sigaction(2). Returns a negated errno on failure.
long kernel_action(int signal, const sys::SignalAction* action, sys::SignalAction* old);

// While one lives, the kernel knows the FS base of the green thread that runs. A kernel thread that
// is not ours has one that the kernel knows.
class KernelKnowsFs {
  public:
    KernelKnowsFs();
    ~KernelKnowsFs();
    KernelKnowsFs(const KernelKnowsFs&) = delete;
    KernelKnowsFs& operator=(const KernelKnowsFs&) = delete;

  private:
    bool pinned_;
};

}  // namespace green
