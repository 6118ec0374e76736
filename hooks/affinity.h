// Which CPUs a thread may run on: what other hooks need of hooks/affinity.cpp.
#pragma once

#include <sched.h>

#include "runtime/thread.h"

namespace green {

// The CPUs of a thread, as sched_getaffinity(2) tells them; null if the kernel would not say.
const cpu_set_t* cpus_of(const Thread* t);

// sched_getaffinity(2) as a system call: how many bytes it filled in, or a negated errno.
long affinity_of(pid_t tid, size_t size, cpu_set_t* cpus);

// Gives a thread that does not run yet the CPUs that its attributes ask for. 0 or an error number.
int affinity_from_attributes(Thread* t, const pthread_attr_t* attr);

// A thread with CPUs of its own has been added.
void affinity_thread_begins(const Thread* t);

void affinity_after_fork_in_child();

}  // namespace green
