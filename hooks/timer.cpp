// Timers: those that are about a thread, SIGEV_THREAD and SIGEV_THREAD_ID (timer_create(2)).
//
// libc serves the former with a helper thread that the kernel must signal by its thread id, which
// no green thread has. Here each is a timerfd(2), or for CPU time a look at the clock now and then,
// and a green thread that waits for it and, for each expiry, makes a thread, as sigevent(7)
// demands, or signals the one that was named. All other timers are the kernel's, by libc's own
// functions; a signal that one of them has sent already is handled before it is set anew or
// stopped. One that is blocked then is dropped.

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/time.h>
#include <sys/timerfd.h>

#include "hooks/activate.h"
#include "hooks/hooks.h"
#include "hooks/signal.h"
#include "hooks/wait.h"
#include "runtime/loop.h"

using namespace green;

extern "C" int hook_pthread_create(pthread_t*, const pthread_attr_t*, void* (*)(void*),
                                   void*) __asm__("pthread_create");

ORIGINAL(int, timer_create, (clockid_t, sigevent*, timer_t*), nullptr)
ORIGINAL(int, timer_settime, (timer_t, int, const itimerspec*, itimerspec*), nullptr)
ORIGINAL(int, timer_gettime, (timer_t, itimerspec*), nullptr)
ORIGINAL(int, timer_getoverrun, (timer_t), nullptr)
ORIGINAL(int, timer_delete, (timer_t), nullptr)

namespace {

struct ThreadTimer {
    int fd;           // a timerfd; -1 for a clock of CPU time, which has none
    clockid_t clock;  // of a timer without descriptor, whose state are the next two
    uint64_t expiry;  // 0: not armed
    uint64_t interval;
    bool deleted;
    int overrun;
    void (*function)(sigval);
    sigval value;
    pthread_attr_t attributes;
    int signal;    // for SIGEV_THREAD_ID
    pid_t target;  // 0: run the function
    int id;        // what the signal says
    ThreadTimer* next;
};
ThreadTimer* timers_of_process = nullptr;
int timers_made = 0;

ThreadTimer* find(timer_t id) {
    ThreadTimer* t = timers_of_process;
    while (t != nullptr && t != id) t = t->next;
    return t;
}

// A timer's signal is pending once; expiries meanwhile count as its overrun.
void signal_expiries(ThreadTimer* timer, Thread* t, int expiries) {
    siginfo_t info = {}, *pending = pending_of_timer(t, timer->signal, timer->id);
    if (pending != nullptr) {
        timer->overrun = pending->si_overrun += expiries;
        return;
    }
    info.si_signo = timer->signal;
    info.si_code = SI_TIMER;
    info.si_timerid = timer->id;
    info.si_overrun = expiries - 1;
    info.si_value = timer->value;
    signal_thread(t, info);
}

// What it has sent before it is set anew or deleted does not come any more.
void forget_expiries(const ThreadTimer* timer) {
    Thread* t = timer->target == 0 ? nullptr : thread_by_tid(timer->target);
    if (t != nullptr) drop_pending_of_timer(t, timer->signal, timer->id);
}

struct Expiry {
    void (*function)(sigval);
    sigval value;
};

void* run_function(void* argument) {
    Expiry expiry = *static_cast<Expiry*>(argument);
    free(argument);
    expiry.function(expiry.value);
    return nullptr;
}

// Waits for a timer of CPU time: how often it has expired; 0 when it is deleted. As with a sleep by
// such a clock, half of what is left has to pass before it need be looked at.
uint64_t wait_cpu_time(ThreadTimer* t) {
    while (!t->deleted) {
        uint64_t now = sys::clock_now(t->clock);
        if (t->expiry != 0 && now >= t->expiry) {
            uint64_t expiries = t->interval == 0 ? 1 : (now - t->expiry) / t->interval + 1;
            t->expiry = t->interval == 0 ? 0 : t->expiry + expiries * t->interval;
            return expiries;
        }
        wait_address(t, t->expiry == 0 ? sys::never
                                       : sys::after((t->expiry - now) / 2 + sys::millisecond / 2));
    }
    return 0;
}

uint64_t wait_expiry(ThreadTimer* t) {
    if (t->fd < 0) return wait_cpu_time(t);
    if (t->deleted) return 0;
    uint64_t expiries;
    return hook_read(t->fd, &expiries, sizeof expiries) == sizeof expiries ? expiries : 0;
}

// Serves a timer until timer_delete closes its descriptor under it. As in libc, this thread and
// those that it makes have all signals blocked.
void* serve(void* argument) {
    auto* timer = static_cast<ThreadTimer*>(argument);
    while (uint64_t expiries = wait_expiry(timer)) {
        timer->overrun = static_cast<int>(expiries - 1);
        if (timer->target != 0) {
            Thread* t = thread_by_tid(timer->target);
            if (t != nullptr) signal_expiries(timer, t, static_cast<int>(expiries));
            continue;
        }
        auto* expiry = static_cast<Expiry*>(malloc(sizeof(Expiry)));
        if (expiry == nullptr) continue;  // an expiry is lost, as when no thread can be made
        *expiry = {timer->function, timer->value};
        pthread_t thread;
        if (hook_pthread_create(&thread, &timer->attributes, run_function, expiry) != 0)
            free(expiry);
    }
    pthread_attr_destroy(&timer->attributes);
    free(timer);
    return nullptr;
}

// What of a program's attributes the threads of a timer get: the program may destroy its own.
int copy_attributes(pthread_attr_t* to, const pthread_attr_t* from) {
    if (int error = pthread_attr_init(to)) return error;
    pthread_attr_setdetachstate(to, PTHREAD_CREATE_DETACHED);
    if (from == nullptr) return 0;
    size_t size = 0;
    int number = 0;
    void* low = nullptr;
    sched_param p = {};
    if (pthread_attr_getguardsize(from, &size) == 0) pthread_attr_setguardsize(to, size);
    pthread_attr_getstack(from, &low, &size);
    bool has_stack = reinterpret_cast<uintptr_t>(low) + size != 0;
    if (has_stack) {
        pthread_attr_setstack(to, low, size);
    } else if (size != 0) {
        pthread_attr_setstacksize(to, size);
    }
    if (pthread_attr_getinheritsched(from, &number) == 0) pthread_attr_setinheritsched(to, number);
    if (pthread_attr_getschedpolicy(from, &number) == 0) pthread_attr_setschedpolicy(to, number);
    if (pthread_attr_getschedparam(from, &p) == 0) pthread_attr_setschedparam(to, &p);
    return 0;
}

// Makes the thread that serves a timer.
int start_serving(ThreadTimer* timer) {
    pthread_attr_t attr;
    sigset_t all;
    sigfillset(&all);
    pthread_t thread;
    if (int error = pthread_attr_init(&attr)) return error;
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    int error = pthread_attr_setsigmask_np(&attr, &all);
    if (error == 0) error = hook_pthread_create(&thread, &attr, serve, timer);
    pthread_attr_destroy(&attr);
    return error;
}

long make_timer(clockid_t clock, const sigevent& event, timer_t* id) {
    timespec unused;
    int fd = -1;
    if (cpu_clock(clock)) {
        if (long r = sys::invoke(SYS_clock_gettime, clock, &unused)) return r;
    } else {
        fd = own_fd_make(sys::invoke(SYS_timerfd_create, clock, TFD_CLOEXEC));
        if (fd == -EMFILE || fd == -ENFILE) return -EAGAIN;
        if (fd < 0) return fd;
    }
    auto* timer = static_cast<ThreadTimer*>(calloc(1, sizeof(ThreadTimer)));
    if (timer != nullptr) {
        timer->fd = fd;
        timer->clock = clock;
        timer->function = event.sigev_notify_function;
        timer->value = event.sigev_value;
        timer->signal = event.sigev_signo;
        timer->id = ++timers_made;
        if (event.sigev_notify == SIGEV_THREAD_ID) timer->target = event._sigev_un._tid;
    }
    const pthread_attr_t* given =
        event.sigev_notify == SIGEV_THREAD ? event.sigev_notify_attributes : nullptr;
    if (timer == nullptr || copy_attributes(&timer->attributes, given) != 0 ||
        start_serving(timer) != 0) {
        free(timer);
        own_fd_close(fd);
        return -EAGAIN;
    }
    timer->next = timers_of_process;
    timers_of_process = timer;
    *id = timer;
    return 0;
}

// timer_gettime(2) and timer_settime(2) for a timer of CPU time.
void get_cpu_timer(const ThreadTimer* t, itimerspec* time) {
    uint64_t now = sys::clock_now(t->clock);
    // One that is due has a last nanosecond left until it is served.
    uint64_t left = t->expiry == 0 ? 0 : t->expiry > now ? t->expiry - now : 1;
    *time = {sys::to_timespec(t->interval), sys::to_timespec(left)};
}

long set_cpu_timer(ThreadTimer* t, int flags, const itimerspec* time, itimerspec* old) {
    if (time == nullptr || !valid(&time->it_value) || !valid(&time->it_interval)) return -EINVAL;
    if (old != nullptr) get_cpu_timer(t, old);
    uint64_t value = sys::nanoseconds(time->it_value);
    bool relative = (flags & TIMER_ABSTIME) == 0;
    t->expiry = value != 0 && relative ? value + sys::clock_now(t->clock) : value;
    t->interval = sys::nanoseconds(time->it_interval);
    wake_address(t);
    return 0;
}

}  // namespace

HOOK(int, timer_create, (clockid_t clock, sigevent* event, timer_t* id), interposed) {
    bool in_thread = event != nullptr && event->sigev_notify == SIGEV_THREAD;
    bool to_green = event != nullptr && event->sigev_notify == SIGEV_THREAD_ID && self != nullptr &&
                    thread_by_tid(event->_sigev_un._tid) != nullptr;
    if ((!in_thread && !to_green) || !activate()) return original_timer_create()(clock, event, id);
    return static_cast<int>(result(make_timer(clock, *event, id)));
}

HOOK(int, timer_settime, (timer_t id, int flags, const itimerspec* time, itimerspec* old),
     interposed) {
    handle_what_came();
    ThreadTimer* timer = find(id);
    if (timer == nullptr) return original_timer_settime()(id, flags, time, old);
    long r = timer->fd < 0 ? set_cpu_timer(timer, flags, time, old)
                           : sys::invoke(SYS_timerfd_settime, timer->fd, flags, time, old);
    if (r == 0) forget_expiries(timer);
    return static_cast<int>(result(r));
}

HOOK(int, timer_gettime, (timer_t id, itimerspec* time), interposed) {
    ThreadTimer* timer = find(id);
    if (timer == nullptr) return original_timer_gettime()(id, time);
    if (timer->fd < 0) {
        get_cpu_timer(timer, time);
        return 0;
    }
    return static_cast<int>(result(sys::invoke(SYS_timerfd_gettime, timer->fd, time)));
}

HOOK(int, timer_getoverrun, (timer_t id), interposed) {
    ThreadTimer* timer = find(id);
    return timer == nullptr ? original_timer_getoverrun()(id) : timer->overrun;
}

HOOK(int, timer_delete, (timer_t id), interposed) {
    handle_what_came();
    ThreadTimer* timer = find(id);
    if (timer == nullptr) return original_timer_delete()(id);
    ThreadTimer** at = &timers_of_process;
    while (*at != timer) at = &(*at)->next;
    *at = timer->next;
    forget_expiries(timer);
    timer->deleted = true;  // either ends serve(), which frees the timer
    if (timer->fd >= 0) {
        own_fd_close(timer->fd);
    } else {
        wake_address(timer);
    }
    return 0;
}

HOOK(int, setitimer, (__itimer_which_t which, const itimerval* time, itimerval* old), redirected) {
    handle_what_came();
    return static_cast<int>(result(sys::invoke(SYS_setitimer, which, time, old)));
}

HOOK(unsigned, alarm, (unsigned seconds), redirected) {
    itimerval time = {{0, 0}, {static_cast<time_t>(seconds), 0}}, old = {};
    if (hook_setitimer(ITIMER_REAL, &time, &old) != 0) return 0;
    // At least 1 when an alarm was set, else rounded, as the kernel does it.
    bool up =
        old.it_value.tv_usec >= 500000 || (old.it_value.tv_sec == 0 && old.it_value.tv_usec != 0);
    return static_cast<unsigned>(old.it_value.tv_sec) + (up ? 1 : 0);
}
