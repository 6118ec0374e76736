// Waking the library up: what must happen when a program makes its first thread.
#pragma once

namespace green {

// Makes the calling thread the first green thread, if it is not yet one. False if the program must
// go on natively: on a kernel thread that is not the process's first, or where the platform is
// missing something (said once on stderr). Calls malloc.
bool activate();

// Whether the caller is a child of posix_spawn(3), of which system(3) and popen(3) are made inside
// libc: it runs in this process's memory, with its `self`, and must not touch what it finds there.
// For the hooks that libc's code in such a child calls; costs a getpid(2).
bool in_spawned_child();

// Set by shim/: what goes with the first activation of a process (libc's entries are redirected
// there). Null, or a sentence: why not.
extern const char* (*on_first_activation)();

// How often this process's line has forked, counted as glibc does: in steps of four.
extern int fork_generation;

// Whether libc's entries lead to the hooks by now.
extern bool entries_redirected;

// The program has restricted its system calls (seccomp(2)): one more than its own may end it.
extern bool sandboxed;

// Registers what fork(2) needs. By the constructor: the child's handlers run in the order they were
// registered in, and until ours has run, one of the program's that waits would run the parent's
// threads in the child.
void watch_forks();

// The child has one thread, so it is dormant again. Async-signal-safe; _Fork(3) runs no handlers.
void child_after_fork();
// In a child that clone(2) made with memory of its own. What the runtime has open may be its
// parent's still; then it closes nothing, and stays dormant for good.
void child_after_clone(bool shares_descriptors);
// The same in a child that is the program itself once more (hooks/accept_fork.cpp).
void become_dormant();

// Set by shim/: what goes with _exit(2). May be null.
extern void (*on_quick_exit)();

// False after a failed self-test or a failed activation: all hooks stay what they stand for.
extern bool enabled;

// GREEN_WARN=0: nothing is said on stderr.
extern bool warnings;

// Says once on stderr that the program runs natively, and why.
void refuse(const char* reason);

// Overrides the default stack size of threads (GREEN_STACK), in bytes; 0: as the C library says.
extern unsigned long default_stack_size;

}  // namespace green
