// The change from dormant to active, and back in the child of a fork: see activate.h.

#include "hooks/activate.h"

#include <malloc.h>
#include <pthread.h>
#include <string.h>

#include "hooks/hook.h"
#include "hooks/preempt.h"
#include "hooks/signal.h"

namespace green {

const char* (*on_first_activation)() = nullptr;
void (*on_quick_exit)() = nullptr;
int fork_generation = 0;
bool enabled = true;
bool warnings = true;
bool entries_redirected = false;
unsigned long default_stack_size = 0;

namespace {

bool seen_before = false;
long active_process = 0;

void parent_after_fork() {
    if (self != nullptr) fd_forked();
}

// The child has one thread, so it is dormant again.
void child_after_fork() {
    fork_generation += 4;
    if (self == nullptr) return;
    preempt_after_fork_in_child();
    signals_after_fork_in_child();
    scheduler_abandon();
}

const char* first_activation() {
    if (seen_before) return nullptr;
    if (const char* problem = on_first_activation == nullptr ? nullptr : on_first_activation()) {
        return problem;
    }
    // One arena: with one kernel thread, more would only keep memory apart.
    mallopt(M_ARENA_MAX, 1);
    seen_before = true;
    return nullptr;
}

}  // namespace

void watch_forks() { pthread_atfork(nullptr, parent_after_fork, child_after_fork); }

bool in_spawned_child() { return self != nullptr && sys::invoke(SYS_getpid) != active_process; }

void refuse(const char* reason) {
    if (!enabled) return;
    enabled = false;
    if (!warnings) return;
    const char* const parts[] = {"libgreen: ", reason, "; the program runs natively\n"};
    for (const char* part : parts) sys::invoke(SYS_write, 2, part, strlen(part));
}

bool activate() {
    if (self != nullptr) return true;
    if (!enabled || sys::invoke(SYS_gettid) != sys::invoke(SYS_getpid)) return false;
    const char* problem = scheduler_start();
    if (problem == nullptr) {
        problem = first_activation();
        if (problem != nullptr) scheduler_abandon();
    }
    if (problem != nullptr) {
        refuse(problem);
        return false;
    }
    active_process = sys::invoke(SYS_getpid);
    signals_activate();
    return true;
}

}  // namespace green
