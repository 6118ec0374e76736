// Scheduling: what other hooks need of hooks/scheduling.cpp.
#pragma once

#include <pthread.h>

#include "hooks/hook.h"

namespace green {

// A green thread other than the program's first one, whose identity is also the kernel's.
inline bool is_made_by_us(const Thread* t) {
    return t != nullptr && t->slot.base != nullptr && t->slice == nullptr;
}

// The first thread has become a green one: what it was scheduled by, others inherit.
void scheduling_activate();

// The calling thread makes `t`. 0, or an error number: what the attributes say is not allowed.
void scheduling_inherited(Thread* t);
int scheduling_from_attributes(Thread* t, const pthread_attr_t* attr);

// The child of a thread goes on as that one did.
void scheduling_after_fork_in_child();

// System calls by number; in the kernel's convention.
long green_setpriority(int which, id_t who, int value);
long green_getpriority(int which, id_t who);
long green_sched_setattr(pid_t tid, const void* attributes, unsigned flags);
long green_sched_getattr(pid_t tid, void* attributes, unsigned size, unsigned flags);

}  // namespace green
