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
}

INTERNAL_HOOK(void, __lll_lock_wait_private, (int* lock)) {
    while (__atomic_exchange_n(lock, lock_with_waiters, __ATOMIC_ACQUIRE) != lock_free) {
        if (wait_word(lock, lock_with_waiters, false) == Wake::interrupted) run_due_signals(true);
    }
}

INTERNAL_HOOK(void, __lll_lock_wake_private, (int* lock)) { wake_word(lock, 1, false); }
