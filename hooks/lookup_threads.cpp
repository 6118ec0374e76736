// GREEN_RESOLVER=thread: look-ups on kernel threads.
//
// For a configuration whose parts know only how to block (an NSS module with a system call of its
// own making, say): the whole call is made by a helper, which is a thread of libc's own, so that
// malloc, locks and streams know from its first use on that there are other kernel threads. What a
// look-up reads of its thread goes with it: the resolver's state, the locale; errno and h_errno
// come back. A look-up runs to its end; a cancellation or a signal is acted upon when it returns.
//
// In the other modes these calls are libc's own, and what waits in them is cooperative.

#include <dlfcn.h>
#include <linux/futex.h>
#include <locale.h>
#include <netdb.h>
#include <pthread.h>
#include <resolv.h>

#include "hooks/fs_trap.h"
#include "hooks/resolver.h"
#include "hooks/wait.h"

using namespace green;

ORIGINAL(int, pthread_create, (pthread_t*, const pthread_attr_t*, void* (*)(void*), void*), nullptr)
ORIGINAL(int, getaddrinfo, (const char*, const char*, const addrinfo*, addrinfo**), nullptr)
ORIGINAL(int, getnameinfo, (const sockaddr*, socklen_t, char*, socklen_t, char*, socklen_t, int),
         nullptr)
ORIGINAL(hostent*, gethostbyname, (const char*), nullptr)
ORIGINAL(hostent*, gethostbyname2, (const char*, int), nullptr)
ORIGINAL(hostent*, gethostbyaddr, (const void*, socklen_t, int), nullptr)
ORIGINAL(int, gethostbyname_r, (const char*, hostent*, char*, size_t, hostent**, int*), nullptr)
ORIGINAL(int, gethostbyname2_r, (const char*, int, hostent*, char*, size_t, hostent**, int*),
         nullptr)
ORIGINAL(int, gethostbyaddr_r,
         (const void*, socklen_t, int, hostent*, char*, size_t, hostent**, int*), nullptr)

namespace green {

namespace {

constexpr int most_helpers = 16;

struct LookUp {
    void (*call)(void*);
    void* what;
    res_state state;
    locale_t locale;
    int error, host_error;
    int done;
    LookUp* next;
};

// Shared with the helpers; the lock is held for a few instructions only.
int lock = 0;
LookUp* queue_head = nullptr;
LookUp* queue_tail = nullptr;
uint32_t handed_over = 0;  // counts look-ups; helpers sleep on it
int idle = 0;

int helpers = 0;  // the green side's alone

class Locked {
  public:
    Locked() {
        while (__atomic_exchange_n(&lock, 1, __ATOMIC_ACQUIRE) != 0) sys::invoke(SYS_sched_yield);
    }
    ~Locked() { __atomic_store_n(&lock, 0, __ATOMIC_RELEASE); }
    Locked(const Locked&) = delete;
    Locked& operator=(const Locked&) = delete;
};

LookUp* take() {
    Locked scope;
    LookUp* l = queue_head;
    if (l == nullptr) {
        ++idle;
        return nullptr;
    }
    queue_head = l->next;
    if (queue_head == nullptr) queue_tail = nullptr;
    return l;
}

void* help(void*) {
    // The pointer that _res stands for, of this thread.
    auto* state = static_cast<res_state*>(dlvsym(RTLD_DEFAULT, "__resp", "GLIBC_PRIVATE"));
    res_state own = state == nullptr ? nullptr : *state;
    for (;;) {
        uint32_t seen = __atomic_load_n(&handed_over, __ATOMIC_ACQUIRE);
        LookUp* l = take();
        if (l == nullptr) {
            sys::invoke(SYS_futex, &handed_over, FUTEX_WAIT_PRIVATE, seen, nullptr);
            Locked scope;
            --idle;
            continue;
        }
        uselocale(l->locale);
        if (state != nullptr) *state = l->state;
        errno = l->error;
        h_errno = l->host_error;
        l->call(l->what);
        l->error = errno;
        l->host_error = h_errno;
        if (state != nullptr) *state = own;
        uselocale(LC_GLOBAL_LOCALE);
        __atomic_store_n(&l->done, 1, __ATOMIC_RELEASE);
        wake_from_outside(l);  // its asker may be gone by now, and somebody else looks up in vain
    }
}

bool start_helper() {
    pthread_attr_t attr;
    sigset_t all;
    sigfillset(&all);
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_attr_setsigmask_np(&attr, &all);
    pthread_t made;
    KernelKnowsFs scope;
    bool ok = original_pthread_create()(&made, &attr, help, nullptr) == 0;
    pthread_attr_destroy(&attr);
    return ok;
}

bool have_helper() {
    bool busy;
    {
        Locked scope;
        busy = idle == 0 || queue_head != nullptr;
    }
    if (busy && helpers < most_helpers) {
        ++helpers;  // first: making one may park
        if (!start_helper()) --helpers;
    }
    return helpers > 0;
}

void hand_over(LookUp* l) {
    {
        Locked scope;
        (queue_tail == nullptr ? queue_head : queue_tail->next) = l;
        queue_tail = l;
    }
    __atomic_add_fetch(&handed_over, 1, __ATOMIC_RELEASE);
    sys::invoke(SYS_futex, &handed_over, FUTEX_WAKE_PRIVATE, 1);
    ++stats.offloaded;
    bool interrupted = false;
    while (__atomic_load_n(&l->done, __ATOMIC_ACQUIRE) == 0) {
        interrupted = wait_address(l) == Wake::interrupted || interrupted;
    }
    if (interrupted) interrupt(self);  // whoever asked is answered at the next wait
}

// The call, on a helper if that was asked for.
template <class Call>
auto looked_up(Call call) {
    if (self == nullptr || resolver != Resolver::threads) return call();
    cancellation_point();
    if (!have_helper()) return call();
    struct What {
        Call& call;
        decltype(call()) result;
    } what = {call, {}};
    LookUp l = {};
    l.call = [](void* w) { static_cast<What*>(w)->result = static_cast<What*>(w)->call(); };
    l.what = &what;
    l.state = &_res;
    l.locale = uselocale(nullptr);
    l.error = errno;
    l.host_error = h_errno;
    hand_over(&l);
    errno = l.error;
    h_errno = l.host_error;
    safe_point();
    return what.result;
}

}  // namespace

void lookup_threads_after_fork_in_child() {
    lock = idle = helpers = 0;
    queue_head = queue_tail = nullptr;
}

}  // namespace green

HOOK(int, getaddrinfo,
     (const char* node, const char* service, const addrinfo* hints, addrinfo** list), interposed) {
    return looked_up([=] { return original_getaddrinfo()(node, service, hints, list); });
}

HOOK(int, getnameinfo,
     (const sockaddr* address, socklen_t size, char* host, socklen_t host_room, char* service,
      socklen_t service_room, int flags),
     interposed) {
    return looked_up([=] {
        return original_getnameinfo()(address, size, host, host_room, service, service_room, flags);
    });
}

HOOK(hostent*, gethostbyname, (const char* name), interposed) {
    return looked_up([=] { return original_gethostbyname()(name); });
}

HOOK(hostent*, gethostbyname2, (const char* name, int family), interposed) {
    return looked_up([=] { return original_gethostbyname2()(name, family); });
}

HOOK(hostent*, gethostbyaddr, (const void* address, socklen_t size, int family), interposed) {
    return looked_up([=] { return original_gethostbyaddr()(address, size, family); });
}

HOOK(int, gethostbyname_r,
     (const char* name, hostent* entry, char* space, size_t room, hostent** found, int* error),
     interposed) {
    return looked_up(
        [=] { return original_gethostbyname_r()(name, entry, space, room, found, error); });
}

HOOK(int, gethostbyname2_r,
     (const char* name, int family, hostent* entry, char* space, size_t room, hostent** found,
      int* error),
     interposed) {
    return looked_up([=] {
        return original_gethostbyname2_r()(name, family, entry, space, room, found, error);
    });
}

HOOK(int, gethostbyaddr_r,
     (const void* address, socklen_t size, int family, hostent* entry, char* space, size_t room,
      hostent** found, int* error),
     interposed) {
    return looked_up([=] {
        return original_gethostbyaddr_r()(address, size, family, entry, space, room, found, error);
    });
}
