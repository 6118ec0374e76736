// The raw system call layer.
//
// Everything below hooks/ reaches the kernel through these functions and never through libc: a libc
// call would be one of our own hooks (or a redirected entry), and would touch the errno of
// whichever green thread happens to run. They follow the kernel's convention, not libc's: a result
// in
// [-4095, -1] is a negated errno (see syscall(2), "Architecture calling conventions"). They may be
// called from anywhere, also from a signal handler, before the constructor and in a vfork child.
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>

#include <type_traits>

namespace green::sys {

#if defined(__x86_64__)

inline long call(long n, long a = 0, long b = 0, long c = 0, long d = 0, long e = 0, long f = 0) {
    long result;
    register long r10 asm("r10") = d;
    register long r8 asm("r8") = e;
    register long r9 asm("r9") = f;
    asm volatile("syscall"
                 : "=a"(result)
                 : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                 : "rcx", "r11", "memory");
    return result;
}

#else  // another CPU: correct, if not free of libc; the library stays dormant there anyway

extern "C" long syscall(long, ...);
inline long call(long n, long a = 0, long b = 0, long c = 0, long d = 0, long e = 0, long f = 0) {
    long result = syscall(n, a, b, c, d, e, f);
    return result == -1 ? -errno : result;
}

#endif

template <class T>
inline long arg(T value) {
    if constexpr (std::is_pointer_v<T>) {
        return reinterpret_cast<long>(value);
    } else if constexpr (std::is_null_pointer_v<T>) {
        return 0;
    } else {
        return static_cast<long>(value);
    }
}

// invoke(SYS_read, fd, buffer, n): any number of arguments, pointers included.
template <class... Args>
inline long invoke(long n, Args... args) {
    return call(n, arg(args)...);
}

inline bool failed(long result) { return static_cast<unsigned long>(result) > -4096UL; }

constexpr uint64_t second = 1'000'000'000;
constexpr uint64_t millisecond = 1'000'000;

// A point in time on CLOCK_MONOTONIC, in nanoseconds; `never` means no limit.
using Deadline = uint64_t;
constexpr Deadline never = UINT64_MAX;

inline uint64_t nanoseconds(const timespec& t) {
    return static_cast<uint64_t>(t.tv_sec) * second + static_cast<uint64_t>(t.tv_nsec);
}

inline timespec to_timespec(uint64_t ns) {
    return {static_cast<time_t>(ns / second), static_cast<long>(ns % second)};
}

// clock_gettime is the vDSO's: not a system call, no errno, never hooked.
inline uint64_t clock_now(clockid_t clock) {
    timespec t;
    clock_gettime(clock, &t);
    return nanoseconds(t);
}

inline uint64_t now() { return clock_now(CLOCK_MONOTONIC); }

// Saturating: a time-out of centuries is `never`, not the past.
inline Deadline after(uint64_t ns) {
    uint64_t start = now();
    return ns >= never - start ? never : start + ns;
}

// The last words of a fatal defect. Never returns.
[[noreturn]] void die(const char* what);

}  // namespace green::sys
