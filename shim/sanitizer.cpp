// Programs built with -fsanitize=address, thread, memory, leak or hwaddress.
//
// A sanitizer's runtime wraps pthread_create and libc's calls to know each thread's stack, shadow
// memory and what happened before what. Its data for a thread is set up by code that runs in the
// real thread, and its own locks wait with futex calls: on green threads ThreadSanitizer crashes,
// and the others report what is not so. Nor would it help to stay and do nothing: where the
// runtime is a shared library (gcc's way), the symbols of this one come first and hide its
// wrappers. So the program is executed once more, without the library, before it has begun.
//
// The undefined-behaviour sanitizer wraps nothing, and such programs run green.
//
// clang's runtime is in the program itself, and not set up yet when our constructor runs; its
// wrappers of strlen and the like crash then; and gcc's libasan, which wants to be the first
// library of all, ends the process when its turn comes. So this is the first thing that is done,
// and nothing of libc is called here.

#include "shim/sanitizer.h"

#include <fcntl.h>
#include <sys/auxv.h>

#include "runtime/sys.h"

// Weak references, which the dynamic linker fills in if anybody has these functions.
#define GREEN_SANITIZER(init) extern "C" __attribute__((weak)) void init();
GREEN_SANITIZER(__asan_init)
GREEN_SANITIZER(__tsan_init)
GREEN_SANITIZER(__msan_init)
GREEN_SANITIZER(__hwasan_init)
GREEN_SANITIZER(__lsan_init)
#undef GREEN_SANITIZER

namespace green {

namespace {

bool is_sanitized() {
    return __asan_init != nullptr || __tsan_init != nullptr || __msan_init != nullptr ||
           __hwasan_init != nullptr || __lsan_init != nullptr;
}

const char* after_prefix(const char* text, const char* prefix) {
    while (*prefix != '\0' && *text == *prefix) ++text, ++prefix;
    return *prefix == '\0' ? text : nullptr;
}

const char* value_of(char** environment, const char* name_and_equals) {
    for (; *environment != nullptr; ++environment) {
        if (const char* value = after_prefix(*environment, name_and_equals)) return value;
    }
    return nullptr;
}

bool ends_item(char c) { return c == ':' || c == ' ' || c == '\0'; }

bool is_ours(const char* item) {
    for (; !ends_item(*item); ++item) {
        if (after_prefix(item, "libgreen.so") != nullptr) return true;
    }
    return false;
}

// Takes this library out of LD_PRELOAD's value, in place. False if it was not in there.
bool leave_preload(char* list) {
    char* to = list;
    bool found = false;
    for (const char* from = list; *from != '\0';) {
        bool keep = !is_ours(from);
        found = found || !keep;
        for (bool last = false; !last && *from != '\0'; ++from) {
            last = ends_item(*from);
            if (!keep) continue;
            *to++ = *from;
            asm volatile("");  // or the compiler makes a call of memmove
        }
    }
    *to = '\0';
    return found;
}

bool is_silent(char** environment) {
    const char* warn = value_of(environment, "GREEN_WARN=");
    return warn != nullptr && (*warn == '0' || after_prefix(warn, "off") != nullptr);
}

}  // namespace

void leave_sanitized_program(char** arguments, char** environment) {
    if (!is_sanitized()) return;
    char* preload = const_cast<char*>(value_of(environment, "LD_PRELOAD="));
    char path[4096];
    long length = sys::invoke(SYS_readlinkat, AT_FDCWD, "/proc/self/exe", path, sizeof path - 1);
    // Started as an argument of ld.so, the program is not this file; preloaded by other means, the
    // library would come back for ever.
    bool by_linker = getauxval(AT_BASE) == 0;
    if (length <= 0 || by_linker || preload == nullptr || !leave_preload(preload)) return;
    path[length] = '\0';
    static const char line[] =
        "libgreen: a sanitizer has to know this program's threads itself; "
        "the program runs natively\n";
    if (!is_silent(environment)) sys::invoke(SYS_write, 2, line, sizeof line - 1);
    sys::invoke(SYS_execve, path, arguments, environment);
}

}  // namespace green
