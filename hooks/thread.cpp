// Threads: making, joining, ending (pthread_create(3), pthread_join(3), pthread_exit(3) and so on).
//
// pthread_t is the address of a real glibc thread block, so pthread_self and pthread_equal need no
// hook. A thread ends by returning, by pthread_exit or by cancellation; the latter two are libc's
// own forced unwind, which stops at the frame that run_routine() registers just as libc's
// start_thread would. What the kernel would do with a thread (names, scheduling, affinity) is kept
// here or applied to the one kernel thread.

#include "hooks/thread.h"

#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <threads.h>

#include "hooks/activate.h"
#include "hooks/inline_futex.h"
#include "hooks/preempt.h"
#include "hooks/signal.h"
#include "hooks/wait.h"

using namespace green;

extern "C" {
int __sigsetjmp(struct __jmp_buf_tag*, int);
void __pthread_register_cancel(__pthread_unwind_buf_t*);
void green_main_left();
}

ORIGINAL(int, pthread_create, (pthread_t*, const pthread_attr_t*, void* (*)(void*), void*), nullptr)
ORIGINAL(int, pthread_join, (pthread_t, void**), nullptr)
ORIGINAL(int, pthread_tryjoin_np, (pthread_t, void**), nullptr)
ORIGINAL(int, pthread_clockjoin_np, (pthread_t, void**, clockid_t, const timespec*), nullptr)
ORIGINAL(int, pthread_detach, (pthread_t), nullptr)
ORIGINAL(void, pthread_exit, (void*), nullptr)
ORIGINAL(int, pthread_getattr_np, (pthread_t, pthread_attr_t*), nullptr)
ORIGINAL(int, pthread_setattr_default_np, (const pthread_attr_t*), nullptr)
ORIGINAL(int, pthread_setname_np, (pthread_t, const char*), nullptr)
ORIGINAL(int, pthread_getname_np, (pthread_t, char*, size_t), nullptr)
ORIGINAL(int, pthread_setschedparam, (pthread_t, int, const sched_param*), nullptr)
ORIGINAL(int, pthread_getschedparam, (pthread_t, int*, sched_param*), nullptr)
ORIGINAL(int, pthread_setschedprio, (pthread_t, int), nullptr)
ORIGINAL(int, pthread_setaffinity_np, (pthread_t, size_t, const cpu_set_t*), nullptr)
ORIGINAL(int, pthread_getaffinity_np, (pthread_t, size_t, cpu_set_t*), nullptr)
ORIGINAL(int, pthread_getcpuclockid, (pthread_t, clockid_t*), nullptr)
ORIGINAL(int, thrd_create, (thrd_t*, thrd_start_t, void*), nullptr)

namespace {

size_t libc_default_stack_size = 0;  // 0: not asked yet
size_t libc_default_guard_size = 0;

Thread* to_thread(pthread_t t) { return thread_of(reinterpret_cast<void*>(t)); }
pthread_t to_pthread(Thread* t) { return reinterpret_cast<pthread_t>(t->block); }

// A green thread other than the program's first one, whose identity is also the kernel's.
bool is_made_by_us(Thread* t) { return t != nullptr && t->slot.base != nullptr; }

void leave_process_if_last() {
    if (threads_alive() == owner && owner->next_alive == nullptr) exit(0);
}

// What every thread does after its routine, whichever way it left it.
void end_of_thread(Thread* t) {
    t->exiting = true;
    thread_block_run_destructors();
    thread_block_release_robust([](void* mutex) { wake_address(mutex); });
    leave_process_if_last();
    signals_thread_ends(t);
}

void run_routine(Thread* t) {
    thread_block_start(t->resolver_state);
    __pthread_unwind_buf_t landing;
    if (__sigsetjmp(reinterpret_cast<struct __jmp_buf_tag*>(landing.__cancel_jmp_buf), 0) == 0) {
        __pthread_register_cancel(&landing);
        t->result = t->routine(t->argument);
    }
    end_of_thread(owner);
}

void ask_libc_defaults() {
    pthread_attr_t attr;
    if (libc_default_stack_size != 0 || pthread_getattr_default_np(&attr) != 0) return;
    pthread_attr_getstacksize(&attr, &libc_default_stack_size);
    pthread_attr_getguardsize(&attr, &libc_default_guard_size);
    pthread_attr_destroy(&attr);
}

// The options that a pthread_attr_t stands for.
ThreadOptions options_of(const pthread_attr_t* attr) {
    ask_libc_defaults();
    ThreadOptions options;
    options.stack_size = default_stack_size != 0 ? default_stack_size : libc_default_stack_size;
    options.guard_size = libc_default_guard_size;
    if (attr == nullptr) return options;
    void* low = nullptr;
    size_t size = 0;
    pthread_attr_getstack(attr, &low, &size);
    pthread_attr_getguardsize(attr, &options.guard_size);
    // An attribute without a stack reports one that ends at address 0; a size of 0 is "default".
    if (size != 0) options.stack_size = size;
    bool has_stack = reinterpret_cast<uintptr_t>(low) + size != 0;
    if (has_stack) options.user_stack = static_cast<char*>(low);
    return options;
}

void apply(const pthread_attr_t* attr, Thread* t) {
    if (attr == nullptr) return;
    int detached = PTHREAD_CREATE_JOINABLE, inherit = PTHREAD_INHERIT_SCHED;
    pthread_attr_getdetachstate(attr, &detached);
    t->detached = detached == PTHREAD_CREATE_DETACHED;
    pthread_attr_getinheritsched(attr, &inherit);
    if (inherit == PTHREAD_EXPLICIT_SCHED) {
        sched_param p = {};
        pthread_attr_getschedpolicy(attr, &t->policy);
        pthread_attr_getschedparam(attr, &p);
        t->priority = p.sched_priority;
        t->explicit_scheduling = true;
    }
    sigset_t mask;
    if (pthread_attr_getsigmask_np(attr, &mask) == 0) memcpy(&t->blocked, &mask, sizeof t->blocked);
}

int green_create(pthread_t* made, const pthread_attr_t* attr, void* (*routine)(void*),
                 void* argument) {
    Thread* t = thread_make(options_of(attr), run_routine);
    if (t == nullptr) return EAGAIN;
    t->routine = routine;
    t->argument = argument;
    t->policy = self->policy;
    t->priority = self->priority;
    t->blocked = self->blocked;
    if (is_made_by_us(self)) {
        memcpy(t->name, self->name, sizeof t->name);
    } else {
        sys::invoke(SYS_prctl, PR_GET_NAME, t->name);
    }
    apply(attr, t);
    *made = to_pthread(t);
    signals_thread_begins(t);
    preempt_start();
    thread_start(t);
    return 0;
}

// Waits for the end of a thread and takes its result. 0 or an error number.
int green_join(pthread_t which, void** value, sys::Deadline deadline) {
    Thread* t = to_thread(which);
    if (t == nullptr) return ESRCH;
    if (t->detached) return EINVAL;
    if (t == self || (self->joiner != nullptr && self->joiner == t)) return EDEADLK;
    if (t->joiner != nullptr) return EINVAL;
    struct Claim {
        explicit Claim(Thread* t) : joined(t) { joined->joiner = self; }
        ~Claim() {
            if (joined != nullptr) joined->joiner = nullptr;
        }
        Thread* joined;
    } claim(t);
    cancellation_point();
    while (t->state != State::ended) {
        Wake why = wait_address(t, deadline);
        if (why == Wake::interrupted) interruption_ends_call(true);
        if (why == Wake::timed_out && t->state != State::ended) return ETIMEDOUT;
    }
    claim.joined = nullptr;
    if (value != nullptr) *value = t->result;
    thread_release(t);
    return 0;
}

// Before the first green thread there is still the way back: the program runs natively. Later there
// is only a warning.
void warn_of_inline_futex(const char* object) {
    char reason[512];
    snprintf(reason, sizeof reason, "%s waits with futex calls of its own", object);
    if (self == nullptr) return refuse(reason);
    static bool warned = false;
    if (!warned && warnings) {
        dprintf(2, "libgreen: %s and may stop the process; try OMP_NUM_THREADS=1\n", reason);
    }
    warned = true;
}

// Whether libc's own function is to deal with this thread.
bool native_thread(pthread_t t) { return owner == nullptr || to_thread(t) == nullptr; }

}  // namespace

// The program's first thread has left by pthread_exit: its stack is unwound (see
// thread_block_redirect_main_exit). The process ends with its last thread.
asm(".pushsection .text\n"
    ".globl green_main_left\n"
    ".hidden green_main_left\n"
    ".type green_main_left, @function\n"
    "green_main_left:\n"
#if defined(__x86_64__)
    "    xorl %ebp, %ebp\n"
    "    call green_main_left_body\n"
    "    ud2\n"
#endif
    ".popsection\n");

extern "C" __attribute__((visibility("hidden"), used)) void green_main_left_body() {
    end_of_thread(owner);
    thread_finish();
}

namespace green {

void exit_thread(void* value) {
    Thread* me = owner;
    if (me != nullptr) {
        me->result = value;
        me->cancel_disabled = true;
        if (self != nullptr && !is_made_by_us(me)) thread_block_redirect_main_exit(green_main_left);
    }
    original_pthread_exit()(value);
    __builtin_unreachable();
}

}  // namespace green

HOOK(int, pthread_create,
     (pthread_t * made, const pthread_attr_t* attr, void* (*routine)(void*), void* argument),
     redirected) {
    const char* waits_alone = inline_futex_in(__builtin_return_address(0));
    if (waits_alone != nullptr) warn_of_inline_futex(waits_alone);
    if (!activate()) {
        // Once libc's entry leads here there is no way back to it.
        if (entries_redirected) return EAGAIN;
        return original_pthread_create()(made, attr, routine, argument);
    }
    return green_create(made, attr, routine, argument);
}

HOOK(int, pthread_join, (pthread_t t, void** value), interposed) {
    if (self == nullptr || native_thread(t)) return original_pthread_join()(t, value);
    return green_join(t, value, sys::never);
}

HOOK(int, pthread_tryjoin_np, (pthread_t t, void** value), interposed) {
    if (self == nullptr || native_thread(t)) return original_pthread_tryjoin_np()(t, value);
    if (to_thread(t)->state != State::ended) return EBUSY;
    return green_join(t, value, sys::never);
}

HOOK(int, pthread_clockjoin_np, (pthread_t t, void** value, clockid_t clock, const timespec* time),
     interposed) {
    if (self == nullptr || native_thread(t)) {
        return original_pthread_clockjoin_np()(t, value, clock, time);
    }
    if (bad_clock(clock)) return EINVAL;
    if (time != nullptr && !valid(time) && time->tv_sec >= 0) return EINVAL;
    return green_join(t, value, deadline_at(clock, time));
}

HOOK(int, pthread_timedjoin_np, (pthread_t t, void** value, const timespec* time), interposed) {
    return hook_pthread_clockjoin_np(t, value, CLOCK_REALTIME, time);
}

HOOK(int, pthread_detach, (pthread_t which), interposed) {
    if (self == nullptr || native_thread(which)) return original_pthread_detach()(which);
    Thread* t = to_thread(which);
    if (t->detached) return EINVAL;
    t->detached = true;
    if (t->state == State::ended) thread_release(t);
    return 0;
}

HOOK(void, pthread_exit, (void* value), interposed) { exit_thread(value); }

// What pthread_getattr_np(3) says of a green thread; garbage collectors scan between these bounds.
HOOK(int, pthread_getattr_np, (pthread_t which, pthread_attr_t* attr), interposed) {
    Thread* t = owner == nullptr ? nullptr : to_thread(which);
    if (!is_made_by_us(t)) return original_pthread_getattr_np()(which, attr);
    if (int error = pthread_attr_init(attr)) return error;
    sched_param p = {};
    p.sched_priority = t->priority;
    pthread_attr_setstack(attr, t->stack_low, t->stack_size);
    pthread_attr_setguardsize(attr, t->guard_size);
    pthread_attr_setdetachstate(attr,
                                t->detached ? PTHREAD_CREATE_DETACHED : PTHREAD_CREATE_JOINABLE);
    if (t->explicit_scheduling) pthread_attr_setinheritsched(attr, PTHREAD_EXPLICIT_SCHED);
    pthread_attr_setschedpolicy(attr, t->policy);
    pthread_attr_setschedparam(attr, &p);
    cpu_set_t cpus;
    if (sched_getaffinity(0, sizeof cpus, &cpus) == 0) {
        return pthread_attr_setaffinity_np(attr, sizeof cpus, &cpus);
    }
    return 0;
}

HOOK(int, pthread_setattr_default_np, (const pthread_attr_t* attr), interposed) {
    int error = original_pthread_setattr_default_np()(attr);
    if (error == 0) libc_default_stack_size = 0;
    return error;
}

HOOK(int, pthread_setname_np, (pthread_t which, const char* name), interposed) {
    Thread* t = owner == nullptr ? nullptr : to_thread(which);
    if (!is_made_by_us(t)) return original_pthread_setname_np()(which, name);
    size_t length = strlen(name);
    if (length >= sizeof t->name) return ERANGE;
    memcpy(t->name, name, length + 1);
    return 0;
}

HOOK(int, pthread_getname_np, (pthread_t which, char* name, size_t size), interposed) {
    Thread* t = owner == nullptr ? nullptr : to_thread(which);
    if (!is_made_by_us(t)) return original_pthread_getname_np()(which, name, size);
    size_t length = strnlen(t->name, sizeof t->name - 1);
    if (size < sizeof t->name) return ERANGE;
    memcpy(name, t->name, length);
    name[length] = '\0';
    return 0;
}

// A thread's name by prctl(2), which is always about the caller.
HOOK(int, prctl, (int option, ...), redirected) {
    va_list list;
    va_start(list, option);
    long a[4];
    for (long& value : a) value = va_arg(list, long);
    va_end(list);
    if (self != nullptr && is_made_by_us(self)) {
        if (option == PR_SET_NAME) {
            auto* name = reinterpret_cast<const char*>(a[0]);
            size_t length = strnlen(name, sizeof self->name - 1);
            memcpy(self->name, name, length);
            self->name[length] = '\0';
            return 0;
        }
        if (option == PR_GET_NAME) {
            memcpy(reinterpret_cast<char*>(a[0]), self->name, sizeof self->name);
            return 0;
        }
    }
    return static_cast<int>(result(sys::invoke(SYS_prctl, option, a[0], a[1], a[2], a[3])));
}

HOOK(int, pthread_setschedparam, (pthread_t which, int policy, const sched_param* p), interposed) {
    Thread* t = owner == nullptr ? nullptr : to_thread(which);
    if (!is_made_by_us(t)) return original_pthread_setschedparam()(which, policy, p);
    int lowest = sched_get_priority_min(policy), highest = sched_get_priority_max(policy);
    if (lowest < 0 || p->sched_priority < lowest || p->sched_priority > highest) return EINVAL;
    t->policy = policy;
    t->priority = p->sched_priority;
    return 0;
}

HOOK(int, pthread_getschedparam, (pthread_t which, int* policy, sched_param* p), interposed) {
    Thread* t = owner == nullptr ? nullptr : to_thread(which);
    if (!is_made_by_us(t)) return original_pthread_getschedparam()(which, policy, p);
    *policy = t->policy;
    p->sched_priority = t->priority;
    return 0;
}

HOOK(int, pthread_setschedprio, (pthread_t which, int priority), interposed) {
    Thread* t = owner == nullptr ? nullptr : to_thread(which);
    if (!is_made_by_us(t)) return original_pthread_setschedprio()(which, priority);
    if (priority < sched_get_priority_min(t->policy)) return EINVAL;
    if (priority > sched_get_priority_max(t->policy)) return EINVAL;
    t->priority = priority;
    return 0;
}

// There is one kernel thread to pin: the last who asked decides where.
HOOK(int, pthread_setaffinity_np, (pthread_t which, size_t size, const cpu_set_t* cpus),
     interposed) {
    Thread* t = owner == nullptr ? nullptr : to_thread(which);
    if (!is_made_by_us(t)) return original_pthread_setaffinity_np()(which, size, cpus);
    return static_cast<int>(-sys::invoke(SYS_sched_setaffinity, 0, size, cpus));
}

HOOK(int, pthread_getaffinity_np, (pthread_t which, size_t size, cpu_set_t* cpus), interposed) {
    Thread* t = owner == nullptr ? nullptr : to_thread(which);
    if (!is_made_by_us(t)) return original_pthread_getaffinity_np()(which, size, cpus);
    long r = sys::invoke(SYS_sched_getaffinity, 0, size, cpus);
    if (r < 0) return static_cast<int>(-r);
    memset(reinterpret_cast<char*>(cpus) + r, 0, size - static_cast<size_t>(r));
    return 0;
}

HOOK(int, pthread_getcpuclockid, (pthread_t which, clockid_t* clock), interposed) {
    Thread* t = owner == nullptr ? nullptr : to_thread(which);
    if (!is_made_by_us(t)) return original_pthread_getcpuclockid()(which, clock);
    *clock = CLOCK_THREAD_CPUTIME_ID;  // of the one kernel thread: no closer clock exists
    return 0;
}

HOOK(pid_t, gettid, (), redirected) {
    if (self == nullptr) return static_cast<pid_t>(sys::invoke(SYS_gettid));
    return self->tid;
}

// C11 threads (threads.h): their functions call pthread's inside libc.
HOOK(int, thrd_create, (thrd_t * made, thrd_start_t routine, void* argument), interposed) {
    if (!activate()) {
        return entries_redirected ? thrd_error : original_thrd_create()(made, routine, argument);
    }
    // A thrd_start_t returns an int, which travels in the low half of the pointer as in glibc.
    auto* as_pthread = reinterpret_cast<void* (*)(void*)>(reinterpret_cast<void*>(routine));
    int error = green_create(made, nullptr, as_pthread, argument);
    return error == 0 ? thrd_success : error == ENOMEM ? thrd_nomem : thrd_error;
}

HOOK(int, thrd_join, (thrd_t t, int* value), interposed) {
    void* result = nullptr;
    if (hook_pthread_join(t, &result) != 0) return thrd_error;
    if (value != nullptr) *value = static_cast<int>(reinterpret_cast<intptr_t>(result));
    return thrd_success;
}

HOOK(int, thrd_detach, (thrd_t t), interposed) {
    return hook_pthread_detach(t) == 0 ? thrd_success : thrd_error;
}

HOOK(void, thrd_exit, (int value), interposed) {
    exit_thread(reinterpret_cast<void*>(static_cast<intptr_t>(value)));
}
