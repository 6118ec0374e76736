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
#include <unistd.h>

#include "hooks/accept_modes.h"
#include "hooks/accept_shape.h"
#include "hooks/activate.h"
#include "hooks/affinity.h"
#include "hooks/inline_futex.h"
#include "hooks/pool.h"
#include "hooks/preempt.h"
#include "hooks/scheduling.h"
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
ORIGINAL(int, pthread_getcpuclockid, (pthread_t, clockid_t*), nullptr)
ORIGINAL(int, thrd_create, (thrd_t*, thrd_start_t, void*), nullptr)

namespace {

// What threads without attributes get (pthread_setattr_default_np(3)).
pthread_attr_t default_attributes;
bool defaults_asked = false, defaults_set_by_program = false;

Thread* to_thread(pthread_t t) { return thread_of(reinterpret_cast<void*>(t)); }
pthread_t to_pthread(Thread* t) { return reinterpret_cast<pthread_t>(t->block); }

// A thread that left by the system call itself is one that libc still counts: the last one then
// does not end the process by exit(3).
bool left_bare = false;

void leave_process_if_last() {
    if (threads_alive() != owner || owner->next_alive != nullptr) return;
    if (!left_bare) exit(0);
    _exit(0);
}

void thread_no_longer_counts(Thread* t) {
    pool_leave(t);
    signals_thread_ends(t);
}

// What every thread does after its routine, whichever way it left it.
void end_of_thread(Thread* t) {
    t->exiting = true;
    if (!flow_ends(t)) {
        thread_block_run_destructors();
        thread_block_release_robust([](void* mutex) { wake_address(mutex); });
    }
    leave_process_if_last();
    thread_no_longer_counts(t);
}

void run_routine(Thread* t) {
    thread_block_start(t->resolver_state);
    __pthread_unwind_buf_t landing;
    if (__sigsetjmp(reinterpret_cast<struct __jmp_buf_tag*>(landing.__cancel_jmp_buf), 0) == 0) {
        __pthread_register_cancel(&landing);
        pool_enter();
        t->result = t->routine(t->argument);
        if (self != nullptr) safe_point();  // what was sent before its end was sent to it
    }
    end_of_thread(owner);
}

void ask_libc_defaults() {
    if (defaults_asked) pthread_attr_destroy(&default_attributes);
    defaults_asked = pthread_getattr_default_np(&default_attributes) == 0;
}

// The options that a pthread_attr_t stands for.
ThreadOptions options_of(const pthread_attr_t* attr) {
    if (!defaults_asked) ask_libc_defaults();
    ThreadOptions options;
    pthread_attr_getstacksize(&default_attributes, &options.stack_size);
    pthread_attr_getguardsize(&default_attributes, &options.guard_size);
    if (default_stack_size != 0) options.stack_size = default_stack_size;
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

// 0 or an error number.
int apply(const pthread_attr_t* attr, Thread* t) {
    if (attr == nullptr && defaults_set_by_program) attr = &default_attributes;
    if (attr == nullptr) return 0;
    int detached = PTHREAD_CREATE_JOINABLE;
    pthread_attr_getdetachstate(attr, &detached);
    t->detached = detached == PTHREAD_CREATE_DETACHED;
    if (int error = scheduling_from_attributes(t, attr)) return error;
    sigset_t mask;
    if (pthread_attr_getsigmask_np(attr, &mask) == 0) memcpy(&t->blocked, &mask, sizeof t->blocked);
    return affinity_from_attributes(t, attr);
}

int green_create(pthread_t* made, const pthread_attr_t* attr, void* (*routine)(void*),
                 void* argument) {
    ThreadOptions options = options_of(attr);
    Thread* t = thread_make(options, run_routine);
    if (t == nullptr) {
        yield();  // some that were to end at once may not have run yet
        t = thread_make(options, run_routine);
    }
    if (t == nullptr) return EAGAIN;
    t->routine = routine;
    t->argument = argument;
    scheduling_inherited(t);
    t->blocked = self->blocked;
    t->cpus = self->cpus;
    // The first thread's name is the kernel's, remembered here until somebody changes it.
    if (self->name[0] == '\0') sys::invoke(SYS_prctl, PR_GET_NAME, self->name);
    memcpy(t->name, self->name, sizeof t->name);
    if (int error = apply(attr, t)) {
        thread_release(t);
        return error;
    }
    *made = to_pthread(t);
    signals_thread_begins(t);
    pool_add(t);
    thread_start(t);
    preempt_start();  // only now: a tick that finds one thread stops the timer
    affinity_thread_begins(t);
    count_unparked_call();
    return 0;
}

// A thread that joins itself, or one that joins it, waits for ever: unless one of the two is on its
// way out.
bool joins_in_circle(const Thread* t) {
    bool circle = t == self || (self->joiner == t && !t->cancel_pending && !t->exiting);
    return circle && !(self->cancel_pending && !thread_block_cancel_disabled(self->block));
}

// Waits for the end of a thread and takes its result. 0 or an error number.
int green_join(pthread_t which, void** value, sys::Deadline deadline) {
    Thread* t = to_thread(which);
    if (t == nullptr) return ESRCH;
    if (t->detached) return EINVAL;
    if (joins_in_circle(t)) return EDEADLK;
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
        if (why == Wake::timed_out && t->state != State::ended) return waited(ETIMEDOUT);
    }
    claim.joined = nullptr;
    if (value != nullptr) *value = t->result;
    thread_release(t);
    return waited(0);
}

// Before the first green thread there is still the way back: the program runs natively. Later its
// calls are caught, or there is only a warning.
void warn_of_inline_futex(const char* object) {
    char reason[512];
    snprintf(reason, sizeof reason, "%s waits with system calls of its own", object);
    if (self == nullptr) return refuse(reason);
    if (catch_inline_futexes()) return;
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

void exit_thread_bare(int status) {
    Thread* t = owner;
    t->exiting = true;
    thread_block_release_robust([](void* mutex) { wake_address(mutex); });
    if (threads_alive() == t && t->next_alive == nullptr) _exit(status);
    left_bare = true;
    thread_no_longer_counts(t);
    thread_finish();
}

void exit_thread(void* value) {
    Thread* me = owner;
    if (me != nullptr) {
        me->result = value;
        me->leaving = true;
        if (self != nullptr && !is_made_by_us(me)) thread_block_redirect_main_exit(green_main_left);
    }
    original_pthread_exit()(value);
    __builtin_unreachable();
}

}  // namespace green

// Threads that libc makes for itself (SIGEV_THREAD, POSIX aio, getaddrinfo_a) stay the kernel's.
HOOK(int, pthread_create,
     (pthread_t * made, const pthread_attr_t* attr, void* (*routine)(void*), void* argument),
     interposed) {
    const char* waits_alone = inline_futex_in(__builtin_return_address(0));
    if (waits_alone != nullptr) warn_of_inline_futex(waits_alone);
    if (accept_mode != AcceptMode::off) shape_sees_thread();
    if (!activate()) return original_pthread_create()(made, attr, routine, argument);
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

HOOK(void, pthread_exit, (void* value), interposed) {
    if (self != nullptr) safe_point();
    exit_thread(value);
}

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
    const cpu_set_t* cpus = cpus_of(t);
    return cpus == nullptr ? 0 : pthread_attr_setaffinity_np(attr, sizeof *cpus, cpus);
}

HOOK(int, pthread_setattr_default_np, (const pthread_attr_t* attr), interposed) {
    int error = original_pthread_setattr_default_np()(attr);
    if (error == 0) {
        defaults_set_by_program = true;
        ask_libc_defaults();
    }
    return error;
}

HOOK(int, pthread_setname_np, (pthread_t which, const char* name), interposed) {
    Thread* t = owner == nullptr ? nullptr : to_thread(which);
    if (!is_made_by_us(t)) {
        if (t != nullptr) t->name[0] = '\0';
        return original_pthread_setname_np()(which, name);
    }
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

// A thread's name by prctl(2), which is always about the caller; and restrictions.
HOOK(int, prctl, (int option, ...), redirected) {
    va_list list;
    va_start(list, option);
    long a[4];
    for (long& value : a) value = va_arg(list, long);
    va_end(list);
    if (self != nullptr && option == PR_SET_NAME) self->name[0] = '\0';
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
    long r = sys::invoke(SYS_prctl, option, a[0], a[1], a[2], a[3]);
    if (option == PR_SET_SECCOMP && r == 0) sandboxed = true;
    return static_cast<int>(result(r));
}

HOOK(int, pthread_getcpuclockid, (pthread_t which, clockid_t* clock), interposed) {
    Thread* t = owner == nullptr ? nullptr : to_thread(which);
    if (!is_made_by_us(t)) return original_pthread_getcpuclockid()(which, clock);
    // That of the one kernel thread, as clock_getcpuclockid(3) would name it: there is no closer
    // one.
    constexpr int of_thread_by_cpu_time = 6;
    *clock = static_cast<clockid_t>(~sys::invoke(SYS_gettid) << 3 | of_thread_by_cpu_time);
    return 0;
}

HOOK(pid_t, gettid, (), redirected) {
    if (self == nullptr) return static_cast<pid_t>(sys::invoke(SYS_gettid));
    return self->tid;
}

// C11 threads (threads.h): their functions call pthread's inside libc.
HOOK(int, thrd_create, (thrd_t * made, thrd_start_t routine, void* argument), interposed) {
    if (!activate()) return original_thrd_create()(made, routine, argument);
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
    if (self != nullptr) safe_point();
    exit_thread(reinterpret_cast<void*>(static_cast<intptr_t>(value)));
}
