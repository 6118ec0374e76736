// The raw system call layer.
//
// Everything below hooks/ reaches the kernel through these functions and never through libc: a libc
// call would be one of our own hooks (or a redirected entry), and would touch the errno of
// whichever green thread happens to run. Their results are the kernel's, not libc's: what lies in
// [-4095, -1] is a negated errno (see syscall(2), "Architecture calling conventions"). They may be
// called from anywhere, also from a signal handler, before the constructor and in a vfork child.
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>

#include <type_traits>

struct epoll_event;
struct pollfd;

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

#elif defined(__aarch64__)

inline long call(long n, long a = 0, long b = 0, long c = 0, long d = 0, long e = 0, long f = 0) {
    register long x8 asm("x8") = n;
    register long x0 asm("x0") = a;
    register long x1 asm("x1") = b;
    register long x2 asm("x2") = c;
    register long x3 asm("x3") = d;
    register long x4 asm("x4") = e;
    register long x5 asm("x5") = f;
    asm volatile("svc 0"
                 : "+r"(x0)
                 : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
                 : "memory");
    return x0;
}

#else  // another CPU: by libc's syscall(2), found behind our hook of that name

long call(long n, long a = 0, long b = 0, long c = 0, long d = 0, long e = 0, long f = 0);

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

// Four calls whose old forms only old CPUs have. There they stay: ppoll(2) costs a sixth more.
#if defined(__x86_64__)

inline long poll(pollfd* fds, unsigned long count, int ms) {
    return invoke(SYS_poll, fds, count, ms);
}
inline long select(int count, void* r, void* w, void* e, timeval* timeout) {
    return invoke(SYS_select, count, r, w, e, timeout);
}
inline long epoll_wait(int fd, epoll_event* events, int max, int ms) {
    return invoke(SYS_epoll_wait, fd, events, max, ms);
}
inline long dup2(int from, int to) { return invoke(SYS_dup2, from, to); }

#else

inline long poll(pollfd* fds, unsigned long count, int ms) {
    timespec t = {ms / 1000, ms % 1000 * 1000000L};
    return invoke(SYS_ppoll, fds, count, ms < 0 ? nullptr : &t, nullptr, 0);
}
inline long select(int count, void* r, void* w, void* e, timeval* timeout) {
    if (timeout == nullptr) return invoke(SYS_pselect6, count, r, w, e, nullptr, nullptr);
    // select(2) takes a million microseconds and more; the kernel writes back what is left.
    constexpr long million = 1000000;
    timespec t = {timeout->tv_sec + timeout->tv_usec / million, timeout->tv_usec % million * 1000};
    long result = invoke(SYS_pselect6, count, r, w, e, &t, nullptr);
    *timeout = {t.tv_sec, static_cast<suseconds_t>(t.tv_nsec / 1000)};
    return result;
}
inline long epoll_wait(int fd, epoll_event* events, int max, int ms) {
    return invoke(SYS_epoll_pwait, fd, events, max, ms, nullptr, 0);
}
inline long dup2(int from, int to) {
    if (from != to) return invoke(SYS_dup3, from, to, 0);
    long flags = invoke(SYS_fcntl, from, F_GETFD);
    return flags < 0 ? flags : to;
}

#endif

// poll(2) without a time-out. A signal that is pending makes the kernel answer EINTR even then, if
// nothing is ready: a tick of ours does, which is nothing to the program.
inline long poll_now(pollfd* fds, unsigned long count) {
    long r;
    do {
        r = sys::poll(fds, count, 0);
    } while (r == -EINTR);
    return r;
}

// rt_sigaction(2)'s structure, which is not libc's.
struct SignalAction {
    void (*handler)(int);
    unsigned long flags;
    void (*restorer)();
    uint64_t mask;
};
#if defined(__x86_64__)
constexpr unsigned long sa_restorer = 0x04000000;
#else
constexpr unsigned long sa_restorer = 0;  // the kernel has a return of its own, in the vDSO
#endif
extern "C" void green_restore_frame();
inline const SignalAction default_action = {nullptr, sa_restorer, green_restore_frame, 0};

// A set of signals is 64 bits to the kernel, from bit 0 for signal 1 on.
constexpr size_t mask_size = 8;
inline long signal_action(int signal, const SignalAction* action, SignalAction* old = nullptr) {
    return invoke(SYS_rt_sigaction, signal, action, old, mask_size);
}
inline long signal_mask(int how, const void* set, void* old = nullptr) {
    return invoke(SYS_rt_sigprocmask, how, set, old, mask_size);
}

// A signal for the calling kernel thread.
inline long raise(int signal) {
    return invoke(SYS_tgkill, invoke(SYS_getpid), invoke(SYS_gettid), signal);
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

// libc's own clock_gettime(3), which is the vDSO's and no system call: not what the symbol stands
// for, which may be a preloaded library's (faketime(1)) that takes locks and tells other times.
// Until it is found, the system call.
extern int (*read_clock)(clockid_t clock, timespec* time);
void find_clock();

inline uint64_t clock_now(clockid_t clock) {
    timespec t = {};
    read_clock(clock, &t);
    return nanoseconds(t);
}

inline uint64_t now() { return clock_now(CLOCK_MONOTONIC); }

// Saturating: a time-out of centuries is `never`, not the past.
inline Deadline after(uint64_t ns) {
    uint64_t start = now();
    return ns >= never - start ? never : start + ns;
}

// The soft limit of a resource is that much higher, as far as the hard one allows, for a few calls
// of ours that a program at its limit would make fail.
class LiftedLimit {
  public:
    LiftedLimit(__rlimit_resource_t resource, rlim_t by);
    ~LiftedLimit();
    LiftedLimit(const LiftedLimit&) = delete;
    LiftedLimit& operator=(const LiftedLimit&) = delete;

  private:
    __rlimit_resource_t resource_;
    bool lifted_ = false;
    rlimit before_ = {};
};

// A number that getsockopt(2) tells of SOL_SOCKET; -1 if it fails.
int socket_option(int fd, int option);

// Tells `act` the name of each entry of a directory but those with a dot in front; neither
// opendir(3) nor malloc. False if it cannot be opened.
bool for_each_entry(const char* directory, void (*act)(const char* name, void*), void* argument);

// Kernel threads of this process; -1 without /proc.
int kernel_threads();

// What /proc says of the calling kernel thread behind a key ("TracerPid"), in `text`; null without
// /proc.
constexpr size_t status_size = 4096;
const char* status_of_thread(const char* key, char (&text)[status_size]);
// The same of a file of /proc whose lines are such ("/proc/thread-self/fdinfo/3").
const char* status_in(const char* file, const char* key, char (&text)[status_size]);

// The last words of a fatal defect. Never returns.
[[noreturn]] void die(const char* what);

}  // namespace green::sys
