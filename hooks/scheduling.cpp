// Scheduling policies, priorities and nice values (sched(7), setpriority(2)), which Linux keeps for
// each thread.
//
// Those of the program's first thread are the kernel thread's. Those of the others are remembered
// and told, and inherited by threads and children, but otherwise have no effect: a thread that
// makes itself nice must not slow down the others. What is allowed the kernel is asked, where
// asking leaves no trace.

#include "hooks/scheduling.h"

#include <linux/capability.h>
#include <sched.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>

#include "hooks/activate.h"
#include "hooks/hooks.h"

using namespace green;

ORIGINAL(int, pthread_setschedparam, (pthread_t, int, const sched_param*), nullptr)
ORIGINAL(int, pthread_getschedparam, (pthread_t, int*, sched_param*), nullptr)
ORIGINAL(int, pthread_setschedprio, (pthread_t, int), nullptr)

namespace {

constexpr int nicest = 19, least_nice = -20;
constexpr int bias = 20;  // the kernel's answer is never negative (getpriority(2))

// The first thread's scheduling is the kernel's; those it makes inherit what is remembered of it.
void remember_kernels(Thread* first) {
    sched_param p = {};
    long policy = sys::invoke(SYS_sched_getscheduler, 0);
    if (policy >= 0) sys::invoke(SYS_sched_getparam, 0, &p);
    first->policy = policy >= 0 ? static_cast<int>(policy) : SCHED_OTHER;
    first->priority = p.sched_priority;
    long raw = sys::invoke(SYS_getpriority, PRIO_PROCESS, 0);
    if (raw > 0) first->nice = bias - static_cast<int>(raw);
}

// The green thread that a thread id names for these calls, or null: the kernel's business.
Thread* thread_named(id_t tid) {
    if (self == nullptr || tid == 0) return self;
    return thread_by_tid(static_cast<pid_t>(tid));
}

bool real_time(int policy) { return policy == SCHED_FIFO || policy == SCHED_RR; }

bool valid_priority(int policy, int priority) {
    int lowest = sched_get_priority_min(policy), highest = sched_get_priority_max(policy);
    return lowest >= 0 && priority >= lowest && priority <= highest;
}

// Whether a nice value may be made this low.
bool may_lower(int nice) {
    rlimit limit = {};
    sys::invoke(SYS_prlimit64, 0, RLIMIT_NICE, nullptr, &limit);
    if (static_cast<rlim_t>(bias - nice) <= limit.rlim_cur) return true;
    __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {};
    sys::invoke(SYS_capget, &header, data);
    return (data[0].effective & 1U << CAP_SYS_NICE) != 0;
}

// A real-time policy is tried on the kernel thread: from one there is always a way back.
int try_real_time(int policy, int priority) {
    sched_param before = {}, wanted = {};
    long was = sys::invoke(SYS_sched_getscheduler, 0);
    sys::invoke(SYS_sched_getparam, 0, &before);
    wanted.sched_priority = priority;
    long r = sys::invoke(SYS_sched_setscheduler, 0, policy, &wanted);
    if (r == 0) sys::invoke(SYS_sched_setscheduler, 0, was, &before);
    return static_cast<int>(-r);
}

// 0 or an error number.
int allowed(const Thread* t, int policy, int priority) {
    if (!valid_priority(policy, priority)) return EINVAL;
    int now = t->policy & ~SCHED_RESET_ON_FORK;
    if (real_time(policy)) {
        return policy == now && priority <= t->priority ? 0 : try_real_time(policy, priority);
    }
    return now == SCHED_IDLE && policy != SCHED_IDLE && !may_lower(t->nice) ? EPERM : 0;
}

int schedule(Thread* t, int policy, int priority) {
    if (!is_made_by_us(t)) {
        sched_param p = {};
        p.sched_priority = priority;
        long r = sys::invoke(SYS_sched_setscheduler, 0, policy, &p);
        if (r == 0) remember_kernels(t);
        return static_cast<int>(-r);
    }
    if (int error = allowed(t, policy & ~SCHED_RESET_ON_FORK, priority)) return error;
    t->policy = policy;
    t->priority = priority;
    return 0;
}

// struct sched_attr, whose first members all versions share (sched_setattr(2)).
struct Attributes {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
};

}  // namespace

namespace green {

void scheduling_activate() { remember_kernels(self); }

void scheduling_inherited(Thread* t) {
    bool starts_anew = (self->policy & SCHED_RESET_ON_FORK) != 0;
    t->policy = starts_anew ? SCHED_OTHER : self->policy;
    t->priority = starts_anew ? 0 : self->priority;
    t->nice = starts_anew && self->nice < 0 ? 0 : self->nice;
}

int scheduling_from_attributes(Thread* t, const pthread_attr_t* attr) {
    int inherit = PTHREAD_INHERIT_SCHED, policy = SCHED_OTHER;
    pthread_attr_getinheritsched(attr, &inherit);
    if (inherit != PTHREAD_EXPLICIT_SCHED) return 0;
    sched_param p = {};
    pthread_attr_getschedpolicy(attr, &policy);
    pthread_attr_getschedparam(attr, &p);
    t->explicit_scheduling = true;
    return schedule(t, policy, p.sched_priority);
}

void scheduling_after_fork_in_child() {
    if (!is_made_by_us(owner)) return;
    bool starts_anew = (owner->policy & SCHED_RESET_ON_FORK) != 0;
    sched_param p = {};
    p.sched_priority = starts_anew ? 0 : owner->priority;
    int policy = starts_anew ? SCHED_OTHER : owner->policy;
    if (policy != sys::invoke(SYS_sched_getscheduler, 0)) {
        sys::invoke(SYS_sched_setscheduler, 0, policy, &p);
    }
    int nice = starts_anew && owner->nice < 0 ? 0 : owner->nice;
    if (bias - nice != sys::invoke(SYS_getpriority, PRIO_PROCESS, 0)) {
        sys::invoke(SYS_setpriority, PRIO_PROCESS, 0, nice);
    }
}

long green_setpriority(int which, id_t who, int value) {
    Thread* t = which == PRIO_PROCESS ? thread_named(who) : nullptr;
    value = std::clamp(value, least_nice, nicest);
    if (is_made_by_us(t)) {
        if (value < t->nice && !may_lower(value)) return -EACCES;
        t->nice = value;
        return 0;
    }
    long r = sys::invoke(SYS_setpriority, which, t != nullptr ? 0 : who, value);
    if (r != 0 || self == nullptr) return r;
    if (t != nullptr) t->nice = value;
    bool group = which == PRIO_PGRP && (who == 0 || static_cast<pid_t>(who) == getpgrp());
    bool user = which == PRIO_USER && (who == 0 || who == getuid());
    for (t = group || user ? threads_alive() : nullptr; t != nullptr; t = t->next_alive) {
        t->nice = value;
    }
    return 0;
}

long green_getpriority(int which, id_t who) {
    Thread* t = which == PRIO_PROCESS ? thread_named(who) : nullptr;
    if (is_made_by_us(t)) return bias - t->nice;
    return sys::invoke(SYS_getpriority, which, t != nullptr ? 0 : who);
}

long green_sched_setattr(pid_t tid, const void* attributes, unsigned flags) {
    constexpr uint64_t reset = 1, keep_policy = 8, keep_parameters = 16;
    Thread* t = thread_named(static_cast<id_t>(tid));
    if (!is_made_by_us(t) || attributes == nullptr || flags != 0) {
        return sys::invoke(SYS_sched_setattr, t != nullptr ? 0 : tid, attributes, flags);
    }
    auto* a = static_cast<const Attributes*>(attributes);
    int now = t->policy & ~SCHED_RESET_ON_FORK;
    int policy = (a->flags & keep_policy) != 0 ? now : static_cast<int>(a->policy);
    bool keeps = (a->flags & keep_parameters) != 0;
    int priority = keeps ? t->priority : static_cast<int>(a->priority);
    if (!keeps && !real_time(policy) && policy != SCHED_IDLE) {
        if (a->nice < t->nice && !may_lower(a->nice)) return -EPERM;
        t->nice = std::clamp(a->nice, least_nice, nicest);
    }
    if ((a->flags & reset) != 0) policy |= SCHED_RESET_ON_FORK;
    return -schedule(t, policy, priority);
}

long green_sched_getattr(pid_t tid, void* attributes, unsigned size, unsigned flags) {
    Thread* t = thread_named(static_cast<id_t>(tid));
    long r = sys::invoke(SYS_sched_getattr, t != nullptr ? 0 : tid, attributes, size, flags);
    if (r != 0 || !is_made_by_us(t)) return r;
    auto* a = static_cast<Attributes*>(attributes);
    int policy = t->policy & ~SCHED_RESET_ON_FORK;
    a->policy = static_cast<uint32_t>(policy);
    a->flags = policy == t->policy ? 0 : 1;
    a->nice = real_time(policy) ? 0 : t->nice;
    a->priority = static_cast<uint32_t>(t->priority);
    return 0;
}

}  // namespace green

HOOK(int, sched_setscheduler, (pid_t tid, int policy, const sched_param* p), redirected) {
    Thread* t = thread_named(static_cast<id_t>(tid));
    if (p == nullptr || policy < 0) return static_cast<int>(result(-EINVAL));
    return static_cast<int>(result(t != nullptr
                                       ? -schedule(t, policy, p->sched_priority)
                                       : sys::invoke(SYS_sched_setscheduler, tid, policy, p)));
}

HOOK(int, sched_getscheduler, (pid_t tid), redirected) {
    Thread* t = thread_named(static_cast<id_t>(tid));
    if (is_made_by_us(t)) return t->policy;
    return static_cast<int>(result(sys::invoke(SYS_sched_getscheduler, t != nullptr ? 0 : tid)));
}

HOOK(int, sched_setparam, (pid_t tid, const sched_param* p), redirected) {
    Thread* t = thread_named(static_cast<id_t>(tid));
    if (p != nullptr && is_made_by_us(t)) {
        return static_cast<int>(result(-schedule(t, t->policy, p->sched_priority)));
    }
    long r = sys::invoke(SYS_sched_setparam, t != nullptr ? 0 : tid, p);
    if (r == 0 && t != nullptr) remember_kernels(t);
    return static_cast<int>(result(r));
}

HOOK(int, sched_getparam, (pid_t tid, sched_param* p), redirected) {
    Thread* t = thread_named(static_cast<id_t>(tid));
    if (p != nullptr && is_made_by_us(t)) {
        p->sched_priority = t->priority;
        return 0;
    }
    return static_cast<int>(result(sys::invoke(SYS_sched_getparam, t != nullptr ? 0 : tid, p)));
}

HOOK(int, setpriority, (__priority_which_t which, id_t who, int value), redirected) {
    return static_cast<int>(result(green_setpriority(which, who, value)));
}

HOOK(int, getpriority, (__priority_which_t which, id_t who), redirected) {
    long r = green_getpriority(which, who);
    return static_cast<int>(r < 0 ? result(r) : bias - r);
}

HOOK(int, pthread_setschedparam, (pthread_t which, int policy, const sched_param* p), interposed) {
    Thread* t = owner == nullptr ? nullptr : thread_of(reinterpret_cast<void*>(which));
    if (is_made_by_us(t)) return schedule(t, policy, p->sched_priority);
    int error = original_pthread_setschedparam()(which, policy, p);
    if (error == 0 && t != nullptr) remember_kernels(t);
    return error;
}

HOOK(int, pthread_getschedparam, (pthread_t which, int* policy, sched_param* p), interposed) {
    Thread* t = owner == nullptr ? nullptr : thread_of(reinterpret_cast<void*>(which));
    if (!is_made_by_us(t)) return original_pthread_getschedparam()(which, policy, p);
    *policy = t->policy;
    p->sched_priority = t->priority;
    return 0;
}

HOOK(int, pthread_setschedprio, (pthread_t which, int priority), interposed) {
    Thread* t = owner == nullptr ? nullptr : thread_of(reinterpret_cast<void*>(which));
    if (is_made_by_us(t)) return schedule(t, t->policy, priority);
    int error = original_pthread_setschedprio()(which, priority);
    if (error == 0 && t != nullptr) remember_kernels(t);
    return error;
}
