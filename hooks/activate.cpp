// The change from dormant to active, and back in the child of a fork: see activate.h.

#include "hooks/activate.h"

#include <malloc.h>
#include <pthread.h>
#include <string.h>

#include "hooks/accept_modes.h"
#include "hooks/accept_shape.h"
#include "hooks/affinity.h"
#include "hooks/audit.h"
#include "hooks/hook.h"
#include "hooks/pool.h"
#include "hooks/preempt.h"
#include "hooks/resolver.h"
#include "hooks/scheduling.h"
#include "hooks/signal.h"
#include "hooks/thread.h"
#include "hooks/trouble.h"
#include "hooks/wait.h"

namespace green {

const char* (*on_first_activation)() = nullptr;
void (*on_quick_exit)() = nullptr;
int fork_generation = 0;
bool enabled = true;
bool warnings = true;
bool entries_redirected = false;
bool sandboxed = false;
unsigned long default_stack_size = 0;

namespace {

bool seen_before = false;
long active_process = 0;

void parent_after_fork() {
    if (accept_mode != AcceptMode::off) shape_sees_fork();
    fd_forked();
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

void child_after_fork() {
    accept_modes_after_fork_in_child();
    become_dormant();
}

void become_dormant() {
    fork_generation += 4;
    fd_forked();
    if (!scheduler_active) return;
    if (owner == nullptr) {
        thread_adopt_caller();
        signals_adopt_caller();
    }
    preempt_after_fork_in_child();
    audit_after_fork_in_child();
    signals_after_fork_in_child();
    lookup_threads_after_fork_in_child();
    lookup_async_after_fork_in_child();
    pool_abandon(owner);
    affinity_after_fork_in_child();
    scheduling_after_fork_in_child();
    scheduler_abandon();
}

void child_after_clone(bool shares_descriptors) {
    if (!shares_descriptors) return child_after_fork();
    preempt_after_fork_in_child();
    audit_after_fork_in_child();
    signals_after_fork_in_child();
    affinity_after_fork_in_child();
    scheduling_after_fork_in_child();
    self = nullptr;
    scheduler_active = false;
    enabled = false;
}

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
    // In a sandbox of the program's own making any call too many may be the end, also one that says
    // so on stderr.
    if (sandboxed) enabled = false;
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
    scheduling_activate();
    clocks_activate();
    trouble_watch_starts();
    audit_start();
    return true;
}

}  // namespace green
