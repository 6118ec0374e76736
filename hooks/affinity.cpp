// CPU affinity (sched_setaffinity(2), pthread_setaffinity_np(3), sched_getcpu(3)).
//
// Each green thread has a mask of its own, which it inherits, is asked about and may change, as
// natively. The one kernel thread may run wherever any of them may: moving it at every switch would
// cost thousands of nanoseconds each. So a thread that pinned itself may run elsewhere; it is told
// a CPU of its mask, because what it does with the answer (data per CPU, checks) relies on that.
//
// A mask is tried on the kernel thread first: the kernel alone knows which CPUs exist and which the
// container allows. Masks are few and the same for many threads, so they are kept once, for ever.

#include "hooks/affinity.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "hooks/hook.h"
#include "hooks/hooks.h"

using namespace green;

ORIGINAL(int, pthread_setaffinity_np, (pthread_t, size_t, const cpu_set_t*), nullptr)
ORIGINAL(int, pthread_getaffinity_np, (pthread_t, size_t, cpu_set_t*), nullptr)
ORIGINAL(int, sched_getcpu, (), nullptr)
ORIGINAL(int, getcpu, (unsigned*, unsigned*), nullptr)

namespace {

struct Mask {
    cpu_set_t cpus;
    Mask* next;
};
Mask* masks = nullptr;
const cpu_set_t* initial = nullptr;  // of threads that inherited no other; null: no mask was set

const cpu_set_t* kept(const cpu_set_t& cpus) {
    for (Mask* m = masks; m != nullptr; m = m->next) {
        if (CPU_EQUAL(&m->cpus, &cpus)) return &m->cpus;
    }
    auto* m = static_cast<Mask*>(malloc(sizeof(Mask)));
    if (m == nullptr) return nullptr;
    *m = {cpus, masks};
    masks = m;
    return &m->cpus;
}

long kernel_get(cpu_set_t* cpus) {
    CPU_ZERO(cpus);
    return sys::invoke(SYS_sched_getaffinity, 0, sizeof *cpus, cpus);
}
long kernel_set(const cpu_set_t& cpus) {
    return sys::invoke(SYS_sched_setaffinity, 0, sizeof cpus, &cpus);
}

// The kernel thread may run where any green thread may.
void spread() {
    cpu_set_t all;
    CPU_ZERO(&all);
    for (Thread* t = threads_alive(); t != nullptr; t = t->next_alive) {
        CPU_OR(&all, &all, t->cpus != nullptr ? t->cpus : initial);
    }
    kernel_set(all);
}

// What the kernel makes of a mask: a kept one, or a negated errno.
long try_out(size_t size, const cpu_set_t* wanted, const cpu_set_t** result) {
    cpu_set_t before, after;
    long r = kernel_get(&before);
    if (r < 0) return r;
    if (initial == nullptr) initial = kept(before);
    r = sys::invoke(SYS_sched_setaffinity, 0, size, wanted);
    if (r < 0) return r;
    kernel_get(&after);
    kernel_set(before);
    *result = kept(after);
    return initial == nullptr || *result == nullptr ? -ENOMEM : 0;
}

long set_affinity(Thread* t, size_t size, const cpu_set_t* cpus) {
    const cpu_set_t* own = nullptr;
    long r = try_out(size, cpus, &own);
    if (r < 0) return r;
    t->cpus = own;
    spread();
    return 0;
}

// sched_getaffinity(2): how many bytes it filled in.
long get_affinity(const Thread* t, size_t size, cpu_set_t* cpus) {
    long r = sys::invoke(SYS_sched_getaffinity, 0, size, cpus);
    const cpu_set_t* own = t->cpus != nullptr ? t->cpus : initial;
    if (r > 0 && own != nullptr) memcpy(cpus, own, static_cast<size_t>(r));
    return r;
}

void clear_rest(cpu_set_t* cpus, size_t size, long filled) {
    auto from = static_cast<size_t>(filled);
    memset(reinterpret_cast<char*>(cpus) + from, 0, size - from);
}

// The green thread that a thread id names for these calls, or null: the kernel's business.
Thread* thread_named(pid_t tid) {
    if (self == nullptr || tid == 0) return self;
    return thread_by_tid(tid);
}

unsigned cpu_for_caller(unsigned real) {
    const cpu_set_t* own = self == nullptr ? nullptr : self->cpus;
    if (own == nullptr || CPU_ISSET(real, own)) return real;
    unsigned first = 0;
    while (first < CPU_SETSIZE && !CPU_ISSET(first, own)) ++first;
    return first;
}

}  // namespace

namespace green {

long affinity_of(pid_t tid, size_t size, cpu_set_t* cpus) {
    Thread* t = thread_named(tid);
    return t != nullptr ? get_affinity(t, size, cpus)
                        : sys::invoke(SYS_sched_getaffinity, tid, size, cpus);
}

int affinity_from_attributes(Thread* t, const pthread_attr_t* attr) {
    cpu_set_t cpus, every;
    memset(&every, 0xff, sizeof every);  // what an attribute says that has no mask
    if (attr == nullptr || pthread_attr_getaffinity_np(attr, sizeof cpus, &cpus) != 0) return 0;
    if (CPU_EQUAL(&cpus, &every)) return 0;
    return static_cast<int>(-try_out(sizeof cpus, &cpus, &t->cpus));
}

void affinity_thread_begins(const Thread* t) {
    if (t->cpus != nullptr && t->cpus != self->cpus) spread();
}

const cpu_set_t* cpus_of(const Thread* t) {
    static cpu_set_t now;
    if (t->cpus != nullptr) return t->cpus;
    if (initial != nullptr) return initial;
    return kernel_get(&now) < 0 ? nullptr : &now;
}

void affinity_after_fork_in_child() {
    if (owner->cpus != nullptr) kernel_set(*owner->cpus);
    initial = nullptr;
    owner->cpus = nullptr;
}

}  // namespace green

HOOK(int, sched_setaffinity, (pid_t tid, size_t size, const cpu_set_t* cpus), redirected) {
    Thread* t = thread_named(tid);
    return static_cast<int>(result(t != nullptr
                                       ? set_affinity(t, size, cpus)
                                       : sys::invoke(SYS_sched_setaffinity, tid, size, cpus)));
}

HOOK(int, sched_getaffinity, (pid_t tid, size_t size, cpu_set_t* cpus), redirected) {
    long r = affinity_of(tid, size, cpus);
    if (r < 0) return static_cast<int>(result(r));
    clear_rest(cpus, size, r);
    return 0;
}

HOOK(int, pthread_setaffinity_np, (pthread_t which, size_t size, const cpu_set_t* cpus),
     interposed) {
    Thread* t = self == nullptr ? nullptr : thread_of(reinterpret_cast<void*>(which));
    if (t == nullptr) return original_pthread_setaffinity_np()(which, size, cpus);
    return static_cast<int>(-set_affinity(t, size, cpus));
}

HOOK(int, pthread_getaffinity_np, (pthread_t which, size_t size, cpu_set_t* cpus), interposed) {
    Thread* t = self == nullptr ? nullptr : thread_of(reinterpret_cast<void*>(which));
    if (t == nullptr) return original_pthread_getaffinity_np()(which, size, cpus);
    long r = get_affinity(t, size, cpus);
    if (r < 0) return static_cast<int>(-r);
    clear_rest(cpus, size, r);
    return 0;
}

HOOK(int, sched_getcpu, (), interposed) {
    int cpu = original_sched_getcpu()();
    return cpu < 0 ? cpu : static_cast<int>(cpu_for_caller(static_cast<unsigned>(cpu)));
}

HOOK(int, getcpu, (unsigned* cpu, unsigned* node), interposed) {
    int r = original_getcpu()(cpu, node);
    if (r == 0 && cpu != nullptr) *cpu = cpu_for_caller(*cpu);
    return r;
}
