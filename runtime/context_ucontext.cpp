// The switch by glibc's ucontext: chosen with -DGREEN_SWITCH=ucontext (see context.h).
//
// swapcontext(3) saves everything but the FS base, and makes a system call for the signal mask; the
// FS base is set just before, in this function, which therefore must not touch errno or any
// thread-local variable between the two. The ucontext_t of a context lies on its own stack.
//
// Both are libc's own: a program's calls may lead to hooks that know of its threads' masks.

#include <dlfcn.h>
#include <sys/auxv.h>
#include <ucontext.h>
#include <new>

#include "runtime/context.h"
#include "runtime/sys.h"

namespace green {

namespace {
[[maybe_unused]] constexpr int arch_set_fs = 0x1002;
[[maybe_unused]] constexpr int arch_get_fs = 0x1003;

decltype(&getcontext) libcs_getcontext = nullptr;
decltype(&swapcontext) libcs_swapcontext = nullptr;

template <class Function>
bool find(Function& function, const char* name) {
    function = reinterpret_cast<Function>(dlsym(RTLD_NEXT, name));
    return function != nullptr;
}
}  // namespace

const char* context_prepare() {
#if defined(__x86_64__)
    bool found = find(libcs_getcontext, "getcontext") && find(libcs_swapcontext, "swapcontext");
    return found ? nullptr : "libc's getcontext and swapcontext were not found";
#else
    return "this CPU's thread pointer is not known to libgreen";
#endif
}

void context_make(Context* context, void* top, void (*entry)()) {
    uintptr_t end = (reinterpret_cast<uintptr_t>(top) - sizeof(ucontext_t)) & ~uintptr_t{63};
    auto* saved = new (reinterpret_cast<void*>(end)) ucontext_t;
    libcs_getcontext(saved);
    constexpr size_t enough_for_the_first_frame = 1024;
    saved->uc_stack.ss_sp = reinterpret_cast<void*>(end - enough_for_the_first_frame);
    saved->uc_stack.ss_size = enough_for_the_first_frame;
    saved->uc_link = nullptr;
    makecontext(saved, entry, 0);
    context->sp = saved;
}

extern "C" __attribute__((noinline)) void green_context_switch(Context* from, const Context* to) {
    ucontext_t here;
    from->sp = &here;
#if defined(__x86_64__)
    if (to->fs != nullptr) {
        sys::invoke(SYS_arch_prctl, arch_set_fs, to->fs);
        ++green_fs_calls;
    }
#endif
    libcs_swapcontext(&here, static_cast<ucontext_t*>(to->sp));
}

bool context_calls_for_fs() { return false; }  // it does, and that is all it can do
void context_trap_fs(void*) {}
bool context_repair_fs() { return false; }
void context_tell_kernel_fs() {}
void context_pin_fs(bool) {}
uint64_t green_fs_calls = 0;
uint64_t context_signals = 0;

void* context_lowest(const Context& context) {
    void* lowest = context.sp;
#if defined(__x86_64__)
    auto* saved = static_cast<const ucontext_t*>(context.sp);
    auto* sp = reinterpret_cast<void*>(saved->uc_mcontext.gregs[REG_RSP]);
    if (sp < lowest) lowest = sp;
#endif
    return lowest;
}

void* context_fs() {
    void* fs = nullptr;
#if defined(__x86_64__)
    sys::invoke(SYS_arch_prctl, arch_get_fs, &fs);
#endif
    return fs;
}

}  // namespace green
