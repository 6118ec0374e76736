// Sleeping and giving way: nanosleep(2), clock_nanosleep(2), sleep(3), usleep(3), sched_yield(2).

#include <threads.h>

#include "hooks/hooks.h"
#include "hooks/wait.h"

using namespace green;

ORIGINAL(int, clock_gettime, (clockid_t, timespec*), nullptr)

namespace green {

bool clocks_are_changed = false;

void clocks_activate() { clocks_are_changed = original_clock_gettime() != sys::read_clock; }

uint64_t changed_clock_now(clockid_t clock) {
    timespec t = {};
    original_clock_gettime()(clock, &t);
    return sys::nanoseconds(t);
}

}  // namespace green

namespace {

// Sleeps until the deadline. 0, or -EINTR after a signal handler (nanosleep is never restarted).
long sleep_until(sys::Deadline deadline) {
    cancel_if_pending();
    if (deadline <= sys::now()) {
        yield();
        return waited(0);
    }
    for (;;) {
        Wake why = park(Park::sleep, deadline);
        if (why == Wake::timed_out) return waited(0);
        if (why == Wake::interrupted && interruption_ends_call(false)) return -EINTR;
    }
}

// clock_nanosleep(2); a negated errno.
long green_nanosleep(clockid_t clock, int flags, const timespec* time, timespec* left) {
    if (!valid(time)) return -EINVAL;
    bool absolute = (flags & TIMER_ABSTIME) != 0;
    sys::Deadline deadline = absolute ? deadline_at(clock, time) : deadline_in(time);
    long r = sleep_until(deadline);
    if (r == -EINTR && !absolute && left != nullptr) {
        uint64_t now = sys::now();
        *left = sys::to_timespec(deadline > now ? deadline - now : 0);
    }
    return r;
}

// A sleep by a clock of CPU time. Such a clock of ours runs no faster than time does, so nobody
// need look at it before half of what is left has passed.
long cpu_nanosleep(clockid_t clock, int flags, const timespec* time, timespec* left) {
    timespec now;
    if (!valid(time)) return -EINVAL;
    if (long r = sys::invoke(SYS_clock_gettime, clock, &now)) return r;
    bool absolute = (flags & TIMER_ABSTIME) != 0;
    uint64_t end = sys::nanoseconds(*time) + (absolute ? 0 : sys::nanoseconds(now));
    for (;;) {
        uint64_t at = sys::clock_now(clock);
        if (at >= end) return 0;
        long r = sleep_until(sys::after((end - at) / 2 + sys::millisecond / 2));
        if (r == 0) continue;
        if (!absolute && left != nullptr) *left = sys::to_timespec(end - at);
        return r;
    }
}

// Clocks that run with time; others sleep natively, or by CPU time.
bool wall_clock(clockid_t clock) {
    return clock == CLOCK_REALTIME || clock == CLOCK_MONOTONIC || clock == CLOCK_BOOTTIME ||
           clock == CLOCK_TAI;
}

}  // namespace

HOOK(int, nanosleep, (const timespec* time, timespec* left), redirected) {
    if (self == nullptr) return static_cast<int>(result(invoke_point(SYS_nanosleep, time, left)));
    return static_cast<int>(result(green_nanosleep(CLOCK_MONOTONIC, 0, time, left)));
}
HOOK_ALIAS(__nanosleep, nanosleep, redirected)

HOOK(int, clock_nanosleep, (clockid_t clock, int flags, const timespec* time, timespec* left),
     redirected) {
    if (clock == CLOCK_THREAD_CPUTIME_ID) return EINVAL;
    if (self != nullptr && cpu_clock(clock)) {
        return static_cast<int>(-cpu_nanosleep(clock, flags, time, left));
    }
    if (self == nullptr || !wall_clock(clock)) {
        if (self == nullptr) {
            return static_cast<int>(-invoke_point(SYS_clock_nanosleep, clock, flags, time, left));
        }
        count_native("clock_nanosleep");
        return static_cast<int>(-sys::invoke(SYS_clock_nanosleep, clock, flags, time, left));
    }
    return static_cast<int>(-green_nanosleep(clock, flags, time, left));
}

HOOK(unsigned, sleep, (unsigned seconds), redirected) {
    timespec time = {static_cast<time_t>(seconds), 0};
    if (hook_nanosleep(&time, &time) == 0) return 0;
    return static_cast<unsigned>(time.tv_sec);  // glibc does not round
}

HOOK(int, usleep, (useconds_t microseconds), redirected) {
    timespec time = {static_cast<time_t>(microseconds / 1000000),
                     static_cast<long>(microseconds % 1000000) * 1000};
    return hook_nanosleep(&time, nullptr);
}

HOOK(int, thrd_sleep, (const timespec* time, timespec* left), interposed) {
    int error = hook_clock_nanosleep(CLOCK_REALTIME, 0, time, left);
    if (error == 0) return 0;
    return error == EINTR ? -1 : -2;
}

HOOK(int, sched_yield, (), redirected) {
    if (self == nullptr) return static_cast<int>(result(sys::invoke(SYS_sched_yield)));
    safe_point();
    yield();
    return waited(0);
}

HOOK(void, thrd_yield, (), interposed) { hook_sched_yield(); }
HOOK(int, pthread_yield, (), interposed) { return hook_sched_yield(); }
