// User and group ids (setuid(2) and its family, setgroups(2)).
//
// To the kernel these belong to a thread; libc makes them the process's by a signal to every other
// thread, whose handler it installs when it makes the first one. There is one kernel thread here,
// and libc never made another: the plain system call does all, and libc's signal would end the
// process. Redirected, because initgroups(3) calls setgroups inside libc. Natively (the library has
// refused) nothing is redirected, and libc's own functions do their work.

#include <grp.h>
#include <unistd.h>

#include "hooks/activate.h"
#include "hooks/hook.h"

using namespace green;

namespace {

constexpr uid_t keep = static_cast<uid_t>(-1);

template <class Original, class... Args>
int set_ids(Original original, long number, Args... args) {
    if (!entries_redirected) return original(args...);
    return static_cast<int>(result(sys::invoke(number, args...)));
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
