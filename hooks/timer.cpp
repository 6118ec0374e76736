// POSIX timers that are about a thread: SIGEV_THREAD and SIGEV_THREAD_ID (timer_create(2)).
//
// libc serves the former with a helper thread that the kernel must signal by its thread id, which
// no green thread has. Here each is a timerfd(2) and a green thread that reads it and, for each
// expiry, makes a thread, as sigevent(7) demands, or signals the one that was named. All other
// timers are the kernel's, by libc's own functions.

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/timerfd.h>

#include "hooks/activate.h"
#include "hooks/hooks.h"
#include "hooks/signal.h"
#include "hooks/wait.h"

using namespace green;

extern "C" int hook_pthread_create(pthread_t*, const pthread_attr_t*, void* (*)(void*),
                                   void*) __asm__("pthread_create");
extern "C" int hook_pthread_detach(pthread_t) __asm__("pthread_detach");

ORIGINAL(int, timer_create, (clockid_t, sigevent*, timer_t*), nullptr)
ORIGINAL(int, timer_settime, (timer_t, int, const itimerspec*, itimerspec*), nullptr)
ORIGINAL(int, timer_gettime, (timer_t, itimerspec*), nullptr)
ORIGINAL(int, timer_getoverrun, (timer_t), nullptr)
ORIGINAL(int, timer_delete, (timer_t), nullptr)

namespace {

struct ThreadTimer {
    int fd;
    int overrun;
    void (*function)(sigval);
    sigval value;
    const pthread_attr_t* attributes;
    int signal;    // for SIGEV_THREAD_ID
    pid_t target;  // 0: run the function
    ThreadTimer* next;
};
ThreadTimer* timers_of_process = nullptr;

ThreadTimer* find(timer_t id) {
    ThreadTimer* t = timers_of_process;
    while (t != nullptr && t != id) t = t->next;
    return t;
}

struct Expiry {
    void (*function)(sigval);
    sigval value;
};

void* run_function(void* argument) {
    Expiry expiry = *static_cast<Expiry*>(argument);
    free(argument);
    hook_pthread_detach(pthread_self());
    expiry.function(expiry.value);
    return nullptr;
}

// Reads the timer until its descriptor is closed under it by timer_delete.
void* serve(void* argument) {
    auto* timer = static_cast<ThreadTimer*>(argument);
    uint64_t expiries;
    while (hook_read(timer->fd, &expiries, sizeof expiries) == sizeof expiries) {
        timer->overrun = static_cast<int>(expiries - 1);
        if (timer->target != 0) {
            Thread* t = thread_by_tid(timer->target);
            if (t != nullptr) signal_thread(t, timer->signal, SI_TIMER, timer->value);
            continue;
        }
        auto* expiry = static_cast<Expiry*>(malloc(sizeof(Expiry)));
        if (expiry == nullptr) continue;  // an expiry is lost, as when no thread can be made
        *expiry = {timer->function, timer->value};
        pthread_t thread;
        if (hook_pthread_create(&thread, timer->attributes, run_function, expiry) != 0)
            free(expiry);
    }
    free(timer);
    return nullptr;
}

long make_timer(clockid_t clock, const sigevent& event, timer_t* id) {
    long fd = sys::invoke(SYS_timerfd_create, clock, TFD_CLOEXEC);
    if (fd < 0) return fd;
    fd_created(static_cast<int>(fd), FdKind::unknown, false);
    auto* timer = static_cast<ThreadTimer*>(malloc(sizeof(ThreadTimer)));
    pthread_t thread;
    if (timer != nullptr) {
        *timer = {static_cast<int>(fd),
                  0,
                  event.sigev_notify_function,
                  event.sigev_value,
                  event.sigev_notify_attributes,
                  event.sigev_signo,
                  0,
                  timers_of_process};
        if (event.sigev_notify == SIGEV_THREAD_ID) timer->target = event._sigev_un._tid;
    }
    if (timer == nullptr || hook_pthread_create(&thread, nullptr, serve, timer) != 0) {
        free(timer);
        hook_close(static_cast<int>(fd));
        return -EAGAIN;
    }
    hook_pthread_detach(thread);
    timers_of_process = timer;
    *id = timer;
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
    ThreadTimer* timer = find(id);
    if (timer == nullptr) return original_timer_settime()(id, flags, time, old);
    return static_cast<int>(result(sys::invoke(SYS_timerfd_settime, timer->fd, flags, time, old)));
}

HOOK(int, timer_gettime, (timer_t id, itimerspec* time), interposed) {
    ThreadTimer* timer = find(id);
    if (timer == nullptr) return original_timer_gettime()(id, time);
    return static_cast<int>(result(sys::invoke(SYS_timerfd_gettime, timer->fd, time)));
}

HOOK(int, timer_getoverrun, (timer_t id), interposed) {
    ThreadTimer* timer = find(id);
    return timer == nullptr ? original_timer_getoverrun()(id) : timer->overrun;
}

HOOK(int, timer_delete, (timer_t id), interposed) {
    ThreadTimer* timer = find(id);
    if (timer == nullptr) return original_timer_delete()(id);
    ThreadTimer** at = &timers_of_process;
    while (*at != timer) at = &(*at)->next;
    *at = timer->next;
    return hook_close(timer->fd);  // ends serve(), which frees the timer
}
