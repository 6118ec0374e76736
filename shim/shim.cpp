// How the library gets into a process and out again.
//
// The constructor runs before every other (the library is linked with -z initfirst), so that hooks
// called by other libraries' constructors and allocators find what they need. It reads the settings
// and looks up libc's functions, and that is all: until the program makes its first thread no
// descriptor, no memory and no signal is touched. The destructor prints the counters.

#include <dlfcn.h>
#include <string.h>
#include <unwind.h>

#include "hooks/accept_check.h"
#include "hooks/accept_fork.h"
#include "hooks/activate.h"
#include "hooks/audit.h"
#include "hooks/fs_trap.h"
#include "hooks/hooks.h"
#include "hooks/pool.h"
#include "hooks/preempt.h"
#include "hooks/worker.h"
#include "shim/config.h"
#include "shim/redirect.h"
#include "shim/report.h"
#include "shim/sanitizer.h"

namespace green {

void resolve_originals() {
    for (OriginalRow* row = original_rows_begin; row != original_rows_end; ++row) {
        if (row->function != nullptr) continue;
        row->function = row->version == nullptr ? dlsym(RTLD_NEXT, row->name)
                                                : dlvsym(RTLD_NEXT, row->name, row->version);
        if (row->function == nullptr) row->function = dlsym(RTLD_NEXT, row->name);
    }
}

void count_native(const char* function) {
    for (HookRow* row = hook_rows_begin; row != hook_rows_end; ++row) {
        if (strcmp(row->name, function) != 0) continue;
        ++row->native_calls;
        return;
    }
}

namespace {

// The first thread of the process is about to be made: libc's inner calls become ours, and FILE
// streams take their locks from now on, because a thread may park while it holds one.
//
// __libc_single_threaded must say the truth: libstdc++ leaves out synchronisation by it that
// threads on one kernel thread need as well (~stop_callback waits for ever without).
//
// A cancellation unwinds through hooks, whose clean-ups run by the unwinder linked into this
// library on the context of the program's own. Its table of register sizes is made by its first
// use.
const char* first_thread() {
    if (const char* problem = redirect_libc()) return problem;
    if (auto* single = static_cast<char*>(dlsym(RTLD_DEFAULT, "__libc_single_threaded")))
        *single = 0;
    _Unwind_Backtrace([](_Unwind_Context*, void*) { return _URC_END_OF_STACK; }, nullptr);
    auto enable_locks =
        reinterpret_cast<void (*)()>(dlvsym(RTLD_DEFAULT, "_IO_enable_locks", "GLIBC_PRIVATE"));
    if (enable_locks != nullptr) enable_locks();
    return nullptr;
}

const char* missing_original() {
    for (OriginalRow* row = original_rows_begin; row != original_rows_end; ++row) {
        if (row->function == nullptr) return row->name;
    }
    return nullptr;
}

pid_t started_as = 0;

void report_at_quick_exit() {
    fork_end_spare();
    if (accept_mode == AcceptMode::check) check_report();
    // Who is in a sandbox may not be allowed more than to end: not even getpid(2).
    if (report_wanted() && sys::invoke(SYS_getpid) == started_as) report();
}

// glibc gives constructors main's arguments; its own environment is not set up yet.
__attribute__((constructor)) void start(int, char** arguments, char** environment) {
    leave_sanitized_program(arguments, environment);
    config_read(environment);
    report_prepare();
    resolve_originals();
    enabled = config.enabled;
    pool_size = config.pool;
    worker_channel = config.worker;
    warnings = config.warn;
    default_stack_size = config.stack_size;
    preempt_slice = config.preempt_slice;
    audit_wanted = config.audit;
    fs_trap_wanted = !config.call_for_fs;
    accept_mode = config.accept;
    max_flows = config.max_flows;
    resolver = config.resolver;
    on_first_activation = first_thread;
    on_quick_exit = report_at_quick_exit;
    started_as = static_cast<pid_t>(sys::invoke(SYS_getpid));
    watch_forks();
    if (missing_original() != nullptr) refuse("the C library is older than 2.34");
}

__attribute__((destructor)) void stop() {
    fork_end_spare();
    if (accept_mode == AcceptMode::check) check_report();
    report();
}

}  // namespace

}  // namespace green
