// How the library gets into a process and out again.
//
// The constructor runs before every other (the library is linked with -z initfirst), so that hooks
// called by other libraries' constructors and allocators find what they need. It reads the settings
// and looks up libc's functions, and that is all: until the program makes its first thread no
// descriptor, no memory and no signal is touched. The destructor prints the counters.

#include <dlfcn.h>
#include <string.h>

#include "hooks/activate.h"
#include "hooks/hooks.h"
#include "shim/config.h"
#include "shim/redirect.h"
#include "shim/report.h"

extern "C" green::OriginalRow __start_green_originals[], __stop_green_originals[];
extern "C" green::HookRow __start_green_hooks[], __stop_green_hooks[];

namespace green {

void resolve_originals() {
    for (OriginalRow* row = __start_green_originals; row != __stop_green_originals; ++row) {
        if (row->function != nullptr) continue;
        row->function = row->version == nullptr ? dlsym(RTLD_NEXT, row->name)
                                                : dlvsym(RTLD_NEXT, row->name, row->version);
        if (row->function == nullptr) row->function = dlsym(RTLD_NEXT, row->name);
    }
}

void count_native(const char* function) {
    for (HookRow* row = __start_green_hooks; row != __stop_green_hooks; ++row) {
        if (strcmp(row->name, function) != 0) continue;
        ++row->native_calls;
        return;
    }
}

namespace {

// The first thread of the process is about to be made: libc's inner calls become ours, and FILE
// streams take their locks from now on, because a thread may park while it holds one.
const char* first_thread() {
    if (const char* problem = redirect_libc()) return problem;
    auto enable_locks =
        reinterpret_cast<void (*)()>(dlvsym(RTLD_DEFAULT, "_IO_enable_locks", "GLIBC_PRIVATE"));
    if (enable_locks != nullptr) enable_locks();
    return nullptr;
}

const char* missing_original() {
    for (OriginalRow* row = __start_green_originals; row != __stop_green_originals; ++row) {
        if (row->function == nullptr) return row->name;
    }
    return nullptr;
}

// glibc gives constructors main's arguments; its own environment is not set up yet.
__attribute__((constructor)) void start(int, char**, char** environment) {
    config_read(environment);
    resolve_originals();
    enabled = config.enabled;
    default_stack_size = config.stack_size;
    on_first_activation = first_thread;
    if (missing_original() != nullptr) refuse("the C library is older than 2.34");
}

__attribute__((destructor)) void stop() { report(); }

}  // namespace

}  // namespace green
