// The locks inside libc: FILE streams, malloc, the resolver, opendir (all "lll" locks).
//
// A FILE may stay locked while its thread is parked: fgets on a socket holds it until the line has
// come. A rival would then stop the only kernel thread in futex(2). libc's slow paths for a private
// lock are two small functions, whose entries come here. The lock word's values are glibc's own: 0
// free, 1 locked, 2 locked with waiters.

#include "hooks/hook.h"
#include "hooks/wait.h"

using namespace green;

namespace {
constexpr int lock_free = 0, lock_with_waiters = 2;
constexpr long futex_wait_private = 128, futex_wake_private = 129;
}  // namespace

INTERNAL_HOOK(void, __lll_lock_wait_private, (int* lock)) {
    while (__atomic_exchange_n(lock, lock_with_waiters, __ATOMIC_ACQUIRE) != lock_free) {
        if (self == nullptr) {
            note_outsider();
            sys::invoke(SYS_futex, lock, futex_wait_private, lock_with_waiters, nullptr);
        } else if (wait_address(lock) == Wake::interrupted) {
            run_due_signals(true);
        }
    }
}

INTERNAL_HOOK(void, __lll_lock_wake_private, (int* lock)) {
    wake_waiters(lock, 1);
    if (self == nullptr || outsiders_wait) sys::invoke(SYS_futex, lock, futex_wake_private, 1);
}
