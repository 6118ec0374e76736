// The pool of threads that run at a time: see pool.h.

#include "hooks/pool.h"

#include <stdlib.h>

#include "hooks/wait.h"

namespace green {

unsigned pool_size = 0;

// Lives as long as its creator or one of its threads.
struct Pool {
    unsigned running;  // those that have begun and not ended
    unsigned users;    // all threads of the pool, and the creator
};

namespace {

void let_go(Pool* p) {
    if (--p->users == 0) free(p);
}

}  // namespace

void pool_add(Thread* t) {
    if (pool_size == 0) return;
    if (self->own_pool == nullptr) {
        self->own_pool = static_cast<Pool*>(calloc(1, sizeof(Pool)));
        if (self->own_pool == nullptr) return;
        self->own_pool->users = 1;
    }
    t->pool = self->own_pool;
    ++t->pool->users;
}

void pool_enter() {
    Pool* p = self->pool;
    if (p == nullptr) return;
    bool waits = p->running >= pool_size || address_has_waiters(p);
    if (waits) ++stats.pool_waits;
    for (bool again = false; waits; again = true) {
        Wake why = wait_address(p, sys::never, 0, again);
        self->has_place = why == Wake::ready;  // from the one that ended
        if (self->has_place) return;
        if (self->cancel_pending) break;  // it will end soon, if it is let
        run_due_signals(true);
    }
    ++p->running;
    self->has_place = true;
}

void pool_leave(Thread* t) {
    if (Pool* p = t->pool) {
        bool passed_on = t->has_place && p->running <= pool_size && wake_address(p) != 0;
        if (t->has_place && !passed_on) --p->running;
        t->pool = nullptr;
        t->has_place = false;
        let_go(p);
    }
    if (t->own_pool != nullptr) let_go(t->own_pool);
    t->own_pool = nullptr;
}

void pool_abandon(Thread* t) { t->pool = t->own_pool = nullptr; }

bool waits_for_pool(const Thread* t, unsigned* running) {
    if (t->pool == nullptr || t->wait.address != t->pool) return false;
    *running = t->pool->running;
    return true;
}

}  // namespace green
