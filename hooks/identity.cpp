// Who a thread is to the kernel: user and group ids (setuid(2) and its family), and calls that take
// a thread id (prlimit(2), tgkill(2); those of scheduling.cpp are others).
//
// A green thread's id names nothing in the kernel; calls about it are calls about the one kernel
// thread.
//
// To the kernel these belong to a thread; libc makes them the process's by a signal to every other
// thread, whose handler it installs when it makes the first one. There is one kernel thread here,
// and libc never made another: the plain system call does all, and libc's signal would end the
// process. Redirected, because initgroups(3) calls setgroups inside libc. Natively (the library has
// refused) nothing is redirected, and libc's own functions do their work. Helper threads
// (runtime/offload.h) that are there would keep what the caller gave up: new ones take their place.

#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/fsuid.h>
#include <sys/resource.h>
#include <unistd.h>

#include "hooks/activate.h"
#include "hooks/hooks.h"
#include "hooks/signal.h"
#include "runtime/offload.h"

using namespace green;

namespace {

constexpr uid_t keep = static_cast<uid_t>(-1);

// For a call that has changed what is each kernel thread's own, if it has. A child that borrows our
// memory until it executes has no part in our helpers.
long renewing(long r) {
    if (r >= 0 && self != nullptr && !in_spawned_child()) offload_renew();
    return r;
}

template <class Original, class... Args>
int set_ids(Original original, long number, Args... args) {
    if (!entries_redirected) return original(args...);
    return static_cast<int>(result(renewing(sys::invoke(number, args...))));
}

}  // namespace

ORIGINAL(int, setuid, (uid_t), nullptr)
ORIGINAL(int, setgid, (gid_t), nullptr)
ORIGINAL(int, seteuid, (uid_t), nullptr)
ORIGINAL(int, setegid, (gid_t), nullptr)
ORIGINAL(int, setreuid, (uid_t, uid_t), nullptr)
ORIGINAL(int, setregid, (gid_t, gid_t), nullptr)
ORIGINAL(int, setresuid, (uid_t, uid_t, uid_t), nullptr)
ORIGINAL(int, setresgid, (gid_t, gid_t, gid_t), nullptr)
ORIGINAL(int, setgroups, (size_t, const gid_t*), nullptr)

HOOK(int, setuid, (uid_t id), redirected) { return set_ids(original_setuid(), SYS_setuid, id); }

HOOK(int, setgid, (gid_t id), redirected) { return set_ids(original_setgid(), SYS_setgid, id); }

HOOK(int, setreuid, (uid_t real, uid_t effective), redirected) {
    return set_ids(original_setreuid(), SYS_setreuid, real, effective);
}

HOOK(int, setregid, (gid_t real, gid_t effective), redirected) {
    return set_ids(original_setregid(), SYS_setregid, real, effective);
}

HOOK(int, setresuid, (uid_t real, uid_t effective, uid_t saved), redirected) {
    return set_ids(original_setresuid(), SYS_setresuid, real, effective, saved);
}

HOOK(int, setresgid, (gid_t real, gid_t effective, gid_t saved), redirected) {
    return set_ids(original_setresgid(), SYS_setresgid, real, effective, saved);
}

HOOK(int, seteuid, (uid_t id), redirected) {
    if (!entries_redirected) return original_seteuid()(id);
    if (id == keep) return static_cast<int>(result(-EINVAL));
    return hook_setresuid(keep, id, keep);
}

HOOK(int, setegid, (gid_t id), redirected) {
    if (!entries_redirected) return original_setegid()(id);
    if (id == keep) return static_cast<int>(result(-EINVAL));
    return hook_setresgid(keep, id, keep);
}

HOOK(int, setgroups, (size_t count, const gid_t* groups), redirected) {
    return set_ids(original_setgroups(), SYS_setgroups, count, groups);
}

// The caller's alone, and for what it has others do. These two answer with the id before, and are
// the only way to ask for it.
HOOK(int, setfsuid, (uid_t id), interposed) {
    long before = sys::invoke(SYS_setfsuid, id);
    return static_cast<int>(id == keep ? before : renewing(before));
}

HOOK(int, setfsgid, (gid_t id), interposed) {
    long before = sys::invoke(SYS_setfsgid, id);
    return static_cast<int>(id == keep ? before : renewing(before));
}

HOOK(int, capset, (cap_user_header_t header, const cap_user_data_t data), interposed) {
    return static_cast<int>(result(renewing(sys::invoke(SYS_capset, header, data))));
}

HOOK(int, unshare, (int flags), interposed) {
    return static_cast<int>(result(renewing(sys::invoke(SYS_unshare, flags))));
}

HOOK(int, setns, (int fd, int kind), interposed) {
    return static_cast<int>(result(renewing(sys::invoke(SYS_setns, fd, kind))));
}

namespace green {

long renewing_by_number(long number, long r) {
    switch (number) {
        case SYS_setuid:
        case SYS_setgid:
        case SYS_setreuid:
        case SYS_setregid:
        case SYS_setresuid:
        case SYS_setresgid:
        case SYS_setgroups:
        case SYS_setfsuid:
        case SYS_setfsgid:
        case SYS_capset:
        case SYS_unshare:
        case SYS_setns:
            return renewing(r);
        default:
            return r;
    }
}

long to_kernel_tid(long tid) {
    constexpr long least_green = 1L << 22;  // PID_MAX_LIMIT
    return self != nullptr && tid >= least_green ? 0 : tid;
}

}  // namespace green

HOOK(int, prlimit64, (pid_t id, __rlimit_resource which, const rlimit64* limit, rlimit64* old),
     redirected) {
    return static_cast<int>(
        result(sys::invoke(SYS_prlimit64, to_kernel_tid(id), which, limit, old)));
}
HOOK_ALIAS(prlimit, prlimit64, redirected)

HOOK(int, tgkill, (pid_t process, pid_t tid, int signal), redirected) {
    Thread* t = self == nullptr ? nullptr : thread_by_tid(tid);
    if (t == nullptr || process != sys::invoke(SYS_getpid)) {
        return static_cast<int>(result(sys::invoke(SYS_tgkill, process, tid, signal)));
    }
    return static_cast<int>(result(-signal_thread(t, signal)));
}
