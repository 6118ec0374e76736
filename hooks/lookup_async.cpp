// getaddrinfo_a(3): look-ups in the background, gai_suspend(3), gai_cancel(3).
//
// libc's own carries them out with kernel threads that wait for each other by futexes nobody sees.
// Here it is the same with green threads: up to twenty workers, as in libc, each of which takes
// requests until none is left, in the order they were made. The program sees a request's state only
// through its gaicb: EAI_INPROGRESS until the answer is there (gai_error(3) reads it).

#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "hooks/activate.h"
#include "hooks/hooks.h"
#include "hooks/resolver.h"
#include "hooks/wait.h"

using namespace green;

ORIGINAL(int, getaddrinfo_a, (int, gaicb**, int, sigevent*), nullptr)
ORIGINAL(int, gai_suspend, (const gaicb* const*, int, const timespec*), nullptr)
ORIGINAL(int, gai_cancel, (gaicb*), nullptr)

extern "C" int hook_pthread_create(pthread_t*, const pthread_attr_t*, void* (*)(void*),
                                   void*) __asm__("pthread_create");
extern "C" int hook_getaddrinfo(const char*, const char*, const addrinfo*,
                                addrinfo**) __asm__("getaddrinfo");

namespace green {

namespace {

constexpr int most_workers = 20;

// What was asked for with one call: who is told when the last of it is there.
struct Batch {
    int left;
    bool waited_for;  // GAI_WAIT: it lies on the waiter's stack
    sigevent event;
};

struct Request {
    gaicb* item;
    Batch* batch;
    bool running;
    Request* next;
};

Request* requests = nullptr;  // in the order they were made
int workers = 0;
int some_ended = 0;  // its address is waited on

Request* find(const gaicb* item) {
    Request* r = requests;
    while (r != nullptr && r->item != item) r = r->next;
    return r;
}

Request* first_idle() {
    Request* r = requests;
    while (r != nullptr && r->running) r = r->next;
    return r;
}

void remove(Request* gone) {
    Request** link = &requests;
    while (*link != gone) link = &(*link)->next;
    *link = gone->next;
    free(gone);
}

bool start(const pthread_attr_t* given, void* (*routine)(void*), void* argument, bool quiet) {
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    sigset_t signals;
    quiet ? sigfillset(&signals) : sigemptyset(&signals);
    pthread_attr_setsigmask_np(&attr, &signals);
    pthread_t made;
    int error = hook_pthread_create(&made, given != nullptr ? given : &attr, routine, argument);
    pthread_attr_destroy(&attr);
    return error == 0;
}

struct Notice {
    void (*function)(sigval);
    sigval value;
};

void* give_notice(void* data) {
    Notice notice = *static_cast<Notice*>(data);
    free(data);
    notice.function(notice.value);
    return nullptr;
}

void notify(const sigevent& event) {
    if (event.sigev_notify == SIGEV_SIGNAL) {
        siginfo_t info = {};
        info.si_signo = event.sigev_signo;
        info.si_code = SI_ASYNCNL;
        info.si_pid = static_cast<pid_t>(sys::invoke(SYS_getpid));
        info.si_uid = static_cast<uid_t>(sys::invoke(SYS_getuid));
        info.si_value = event.sigev_value;
        sys::invoke(SYS_rt_sigqueueinfo, info.si_pid, event.sigev_signo, &info);
    } else if (event.sigev_notify == SIGEV_THREAD) {
        auto* notice = static_cast<Notice*>(malloc(sizeof(Notice)));
        if (notice == nullptr) return;
        *notice = {event.sigev_notify_function, event.sigev_value};
        if (!start(event.sigev_notify_attributes, give_notice, notice, false)) free(notice);
    }
}

void one_is_there(Batch* batch) {
    wake_address(&some_ended, UINT32_MAX);
    if (--batch->left > 0 || batch->waited_for) return;
    notify(batch->event);
    free(batch);
}

void* work(void*) {
    while (Request* r = first_idle()) {
        r->running = true;
        gaicb* item = r->item;
        Batch* batch = r->batch;
        int result =
            hook_getaddrinfo(item->ar_name, item->ar_service, item->ar_request, &item->ar_result);
        remove(r);
        item->__return = result;
        one_is_there(batch);
    }
    --workers;
    return nullptr;
}

bool enqueue(gaicb* item, Batch* batch) {
    auto* r = static_cast<Request*>(malloc(sizeof(Request)));
    if (r == nullptr) return false;
    *r = {item, batch, false, nullptr};
    Request** end = &requests;
    while (*end != nullptr) end = &(*end)->next;
    *end = r;
    if (workers < most_workers && start(nullptr, work, nullptr, true)) ++workers;
    if (workers == 0) {
        remove(r);
        return false;
    }
    item->__return = EAI_INPROGRESS;
    ++batch->left;
    return true;
}

int count_in_progress(const gaicb* const* list, int count) {
    int n = 0;
    for (int i = 0; i < count; ++i) {
        bool known = list[i] != nullptr && list[i]->__return == EAI_INPROGRESS;
        n += known && find(list[i]) != nullptr ? 1 : 0;
    }
    return n;
}

}  // namespace

void lookup_async_after_fork_in_child() {
    requests = nullptr;
    workers = 0;
}

}  // namespace green

HOOK(int, getaddrinfo_a, (int mode, gaicb* list[], int count, sigevent* event), interposed) {
    if (!activate()) return original_getaddrinfo_a()(mode, list, count, event);
    if (mode != GAI_WAIT && mode != GAI_NOWAIT) {
        errno = EINVAL;
        return EAI_SYSTEM;
    }
    Batch waited = {};
    auto* batch = mode == GAI_WAIT ? &waited : static_cast<Batch*>(calloc(1, sizeof(Batch)));
    if (batch == nullptr) return EAI_AGAIN;
    batch->waited_for = mode == GAI_WAIT;
    batch->event.sigev_notify = SIGEV_NONE;
    if (event != nullptr) batch->event = *event;
    int result = 0, own = 1;
    batch->left = own;  // until all are under way
    for (int i = 0; i < count; ++i) {
        if (list[i] == nullptr || enqueue(list[i], batch)) continue;
        errno = EAGAIN;
        result = EAI_SYSTEM;
    }
    if (mode == GAI_NOWAIT) {
        if (--batch->left > 0) return result;
        notify(batch->event);
        free(batch);
        return result;
    }
    while (batch->left > own) {  // no cancellation point
        if (wait_address(&some_ended) == Wake::interrupted) run_due_signals(true);
    }
    return result;
}

HOOK(int, gai_suspend, (const gaicb* const list[], int count, const timespec* timeout),
     interposed) {
    if (self == nullptr) return original_gai_suspend()(list, count, timeout);
    int before = count_in_progress(list, count);
    if (before == 0) return EAI_ALLDONE;
    sys::Deadline deadline = deadline_in(timeout);
    while (count_in_progress(list, count) >= before) {
        Wake why = wait_address(&some_ended, deadline);
        if (why == Wake::timed_out) return EAI_AGAIN;
        if (why != Wake::interrupted) continue;
        // As futex(2): a wait with a time-out is not restarted. Cancellation is for later.
        if (run_due_signals(deadline == sys::never)) return EAI_INTR;
    }
    return 0;
}

HOOK(int, gai_cancel, (gaicb * item), interposed) {
    if (self == nullptr) return original_gai_cancel()(item);
    Request* r = find(item);
    if (r == nullptr) return EAI_ALLDONE;
    if (r->running) return EAI_NOTCANCELED;
    remove(r);
    return EAI_CANCELED;
}
