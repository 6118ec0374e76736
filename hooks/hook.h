// How a libc function is hooked: one macro per function, at its definition.
//
//     HOOK(ssize_t, read, (int fd, void* buffer, size_t size), redirected) { ... }
//     HOOK_ALIAS(__read, read, redirected)
//
// Each use defines the exported symbol and a row in a table (the ELF section green_hooks), from
// which everything else is made: the libc entries to redirect, the coverage report, the tests.
// There is no second list of functions; hooks/coverage.txt speaks of those that have no hook.
//
// What a hook may do: it is entered on a program's thread, in any state. While `self` is null it is
// the plain system call (or libc's own function) and touches nothing else. Otherwise it asks
// without blocking, waits with wait_fd() or wait_address(), and asks again; every wait is taken
// down before it returns or unwinds. errno changes only when the call fails. A redirected hook
// never needs libc's own function, because that one's first bytes now jump to the hook.
#pragma once

#include <errno.h>

#include "runtime/fd_table.h"
#include "runtime/parking_lot.h"
#include "runtime/scheduler.h"
#include "runtime/sys.h"

namespace green {

enum class Reach : int {
    interposed,  // calls through the symbol
    redirected,  // and calls from inside libc: its entry is overwritten (shim/redirect.cpp)
    internal,    // only the entry: a symbol no program calls
    by_helper,   // redirected; what would block waits on a helper thread
};
constexpr Reach interposed = Reach::interposed;
constexpr Reach redirected = Reach::redirected;
constexpr Reach internal = Reach::internal;
constexpr Reach by_helper = Reach::by_helper;

struct HookRow {  // also read from the file, by scripts/coverage.py
    const char* name;
    void* function;
    Reach reach;
    uint64_t native_calls;  // calls in active mode that were handled natively
};

// A libc function that a hook builds on; looked up before the program starts.
struct OriginalRow {
    const char* name;
    const char* version;  // null: the default one
    void* function;
};

// libc's own function behind a redirected entry, for a hook that cannot do without it: its first
// instructions, moved, and a jump to the rest. Null until libc is redirected.
struct WayBackRow {
    const char* name;
    void* function;
};

void resolve_originals();

// The tables, which the linker lays together.
extern "C" {
#define GREEN_TABLE_END(type, name, symbol) \
    extern type name[] __asm__(symbol) __attribute__((visibility("hidden")));
GREEN_TABLE_END(HookRow, hook_rows_begin, "__start_green_hooks")
GREEN_TABLE_END(HookRow, hook_rows_end, "__stop_green_hooks")
GREEN_TABLE_END(OriginalRow, original_rows_begin, "__start_green_originals")
GREEN_TABLE_END(OriginalRow, original_rows_end, "__stop_green_originals")
GREEN_TABLE_END(WayBackRow, way_back_rows_begin, "__start_green_ways_back")
GREEN_TABLE_END(WayBackRow, way_back_rows_end, "__stop_green_ways_back")
#undef GREEN_TABLE_END
}

// A call's result in libc's convention, from the kernel's.
inline long result(long r) {
    if (!sys::failed(r)) return r;
    errno = static_cast<int>(-r);
    return -1;
}

}  // namespace green

#define GREEN_EXPORT __attribute__((visibility("default")))
#define GREEN_ROW(name, how)                                           \
    __attribute__((section("green_hooks"), used,                       \
                   aligned(8))) static ::green::HookRow row_##name = { \
        #name, reinterpret_cast<void*>(&hook_##name), ::green::how, 0};

#define HOOK(type, name, parameters, how)                               \
    extern "C" GREEN_EXPORT type hook_##name parameters __asm__(#name); \
    GREEN_ROW(name, how)                                                \
    type hook_##name parameters

#define HOOK_ALIAS(alias_name, name, how)                                                \
    extern "C" GREEN_EXPORT decltype(hook_##name) hook_##alias_name __asm__(#alias_name) \
        __attribute__((alias(#name)));                                                   \
    GREEN_ROW(alias_name, how)

// A redirect-only hook: `name` is libc's entry, the function stays hidden.
#define INTERNAL_HOOK(type, name, parameters)                                     \
    extern "C" __attribute__((visibility("hidden"))) type hook_##name parameters; \
    GREEN_ROW(name, internal)                                                     \
    type hook_##name parameters

// libc's entry `name` gets a function of its own, other than the one that the symbol stands for.
#define GREEN_INNER_ROW(name, inner)                                         \
    __attribute__((section("green_hooks"), used,                             \
                   aligned(8))) static ::green::HookRow inner_row_##name = { \
        #name, reinterpret_cast<void*>(&inner), ::green::internal, 0};

// way_back_NAME(): libc's own function of a redirected hook. Where there can be none, the entry is
// not redirected.
#define WAY_BACK(type, name, parameters)                                                           \
    __attribute__((section("green_ways_back"), used,                                               \
                   aligned(8))) static ::green::WayBackRow way_back_row_##name = {#name, nullptr}; \
    static inline auto way_back_##name() {                                                         \
        return reinterpret_cast<type(*) parameters>(way_back_row_##name.function);                 \
    }

// original_NAME(): libc's own function. Never for a redirected one.
#define ORIGINAL(type, name, parameters, version)                                                  \
    __attribute__((section("green_originals"), used,                                               \
                   aligned(8))) static ::green::OriginalRow original_row_##name = {#name, version, \
                                                                                   nullptr};       \
    static inline auto original_##name() {                                                         \
        if (__builtin_expect(original_row_##name.function == nullptr, 0)) {                        \
            ::green::resolve_originals();                                                          \
        }                                                                                          \
        return reinterpret_cast<type(*) parameters>(original_row_##name.function);                 \
    }
