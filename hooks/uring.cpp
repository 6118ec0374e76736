// Waiting for completions: io_uring, and the older kernel aio.
//
// The descriptor of a ring is readable while it holds completions (poll(2)), so a thread that waits
// for one parks as for any other descriptor. What the kernel is asked before and after is "is there
// one?": the call itself with a time-out of zero (IORING_ENTER_EXT_ARG, Linux 5.11), which also
// brings in what a ring keeps back until somebody asks. What the caller wants submitted goes first,
// by itself. A ring whose completions wait for the thread that made it (IORING_SETUP_DEFER_TASKRUN)
// is readable and nobody is told: there, and where it is not known, who waits asks again at growing
// intervals. How many there are is told by the ring alone, in the program's memory; where that is
// not known, a helper waits for several.
//
// Hardly a program makes these calls: liburing does, by instructions of its own, so that they pass
// no symbol and no entry of libc. Its functions that wait are therefore exported here as if they
// were libc's, the only names that are not. liburing's own do all but the waiting; they are looked
// for when first needed, since liburing may come later, or be inside the object that calls it.
//
// Kernel aio has no descriptor; io_getevents(2) waits on a helper.

#include "hooks/uring.h"

#include <dlfcn.h>
#include <linux/io_uring.h>
#include <linux/time_types.h>
#include <signal.h>

#include "hooks/hooks.h"
#include "hooks/wait.h"

using namespace green;

namespace {

constexpr timespec zero = {0, 0};

// What these calls wait for is no cancellation point, and never restarted (io_uring_enter(2)).
constexpr Manner completions = {Lasts::endlessly, false, false};

// Flags of newer kernels than the headers here: the time-out is a time of the ring's clock (which
// is CLOCK_MONOTONIC unless the program has chosen otherwise); the wait is not counted as one for
// I/O.
constexpr unsigned absolute_timer = 1U << 5, no_iowait = 1U << 7;

bool announces(unsigned setup_flags) {
    constexpr unsigned defer_taskrun = 1U << 13;
    return (setup_flags & defer_taskrun) == 0;
}

// The part of liburing's struct io_uring that tells how many completions there are.
struct CompletionQueue {
    unsigned *head, *tail, *mask, *entries;
};

struct CompletionWait {
    int fd;  // or the ring's number among those the kernel thread has registered
    bool registered_ring;
    unsigned count;
    sys::Deadline deadline;
    const sigset_t* mask;
    const CompletionQueue* queue;  // null: not known
    unsigned newer_flags = 0;      // for the kernel to accept or not
};

bool enough(const CompletionWait& w) {
    if (w.count <= 1 || w.queue == nullptr) return true;
    const CompletionQueue& q = *w.queue;
    unsigned wanted = w.count < *q.entries ? w.count : *q.entries;
    return __atomic_load_n(q.tail, __ATOMIC_ACQUIRE) - *q.head >= wanted;
}

// 0 if there is what is waited for, -ETIME if not.
long ask(const CompletionWait& w) {
    __kernel_timespec none = {};
    io_uring_getevents_arg argument = {};
    argument.ts = reinterpret_cast<uintptr_t>(&none);
    unsigned flags = IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG | w.newer_flags;
    if (w.registered_ring) flags |= IORING_ENTER_REGISTERED_RING;
    long r = sys::invoke(SYS_io_uring_enter, w.fd, 0, 1, flags, &argument, sizeof argument);
    return r == 0 && !enough(w) ? -ETIME : r;
}

// Several of a ring whose memory is not known. The helper is another thread for the kernel, which
// some rings do not allow (IORING_SETUP_SINGLE_ISSUER); these stop the process.
long wait_on_helper(const CompletionWait& w) {
    timespec left = {};
    io_uring_getevents_arg argument = {};
    if (w.deadline != sys::never) {
        uint64_t now = sys::now();
        left = sys::to_timespec(w.deadline > now ? w.deadline - now : 0);
        argument.ts = reinterpret_cast<uintptr_t>(&left);
    }
    unsigned flags =
        IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG | (w.newer_flags & ~absolute_timer);
    if (!w.registered_ring) {
        long r = offloaded(completions, SYS_io_uring_enter, w.fd, 0, w.count, flags, &argument,
                           sizeof argument);
        if (r != -EEXIST) return r;
    } else {
        flags |= IORING_ENTER_REGISTERED_RING;
    }
    count_native("syscall");
    return sys::invoke(SYS_io_uring_enter, w.fd, 0, w.count, flags, &argument, sizeof argument);
}

Wake wait_for_news(const CompletionWait& w, uint64_t* nap) {
    const FdState* s = w.registered_ring ? nullptr : fd_state(w.fd);
    if (s == nullptr) return pause_until(nap, w.deadline);
    if (s->announces) return wait_fd(w.fd, EPOLLIN, w.deadline);
    return pause_until(nap, w.deadline,
                       [&](sys::Deadline until) { return wait_fd(w.fd, EPOLLIN, until); });
}

long wait_completions(const CompletionWait& w) {
    MaskDuringCall scope(w.mask);
    uint64_t nap = sys::millisecond / 16;
    for (bool first = true;; first = false) {
        long r = ask(w);
        if (r == 0 && w.count > 1 && w.queue == nullptr) return wait_on_helper(w);
        if (r != -ETIME) return finish_call(r);
        if (first && safe_point()) return -EINTR;
        Wake why = wait_for_news(w, &nap);
        if (why == Wake::timed_out) return ask(w);
        if (why == Wake::interrupted && interruption_ends_call(false)) return -EINTR;
    }
}

long enter_natively(const long* a) {
    return sys::invoke(SYS_io_uring_enter, a[0], a[1], a[2], a[3], a[4], a[5]);
}

// Whether the call is one of those known here; then `w` tells what to wait for.
bool understood(const long* a, CompletionWait* w) {
    constexpr unsigned known = IORING_ENTER_GETEVENTS | IORING_ENTER_SQ_WAKEUP |
                               IORING_ENTER_EXT_ARG | IORING_ENTER_REGISTERED_RING |
                               absolute_timer | no_iowait;
    auto flags = static_cast<unsigned>(a[3]);
    if ((flags & ~known) != 0) return false;
    *w = {static_cast<int>(a[0]),
          (flags & IORING_ENTER_REGISTERED_RING) != 0,
          static_cast<unsigned>(a[2]),
          sys::never,
          nullptr,
          nullptr,
          flags & (absolute_timer | no_iowait)};
    if ((flags & IORING_ENTER_EXT_ARG) == 0) {
        w->mask = reinterpret_cast<const sigset_t*>(a[4]);
        return true;
    }
    auto* argument = reinterpret_cast<const io_uring_getevents_arg*>(a[4]);
    if (a[5] != sizeof *argument || argument->pad != 0) return false;
    w->mask = reinterpret_cast<const sigset_t*>(argument->sigmask);
    auto* time = reinterpret_cast<const timespec*>(argument->ts);
    bool absolute = (flags & absolute_timer) != 0;
    w->deadline = absolute ? deadline_at(CLOCK_MONOTONIC, time) : deadline_in(time);
    return true;
}

long get_events(const long* a, const sigset_t* mask) {
    safe_point();
    MaskDuringCall scope(mask);
    long least = a[1], room = a[2];
    auto* events = reinterpret_cast<char*>(a[3]);
    long got = sys::invoke(SYS_io_getevents, a[0], least, room, events, &zero);
    if (got < 0 || got >= least) return finish_call(got);
    constexpr size_t event_size = 32;  // struct io_event (linux/aio_abi.h)
    long more = offloaded(completions, SYS_io_getevents, a[0], least - got, room - got,
                          events + static_cast<size_t>(got) * event_size, a[4]);
    return more >= 0 ? got + more : got > 0 ? got : more;
}

}  // namespace

namespace green {

void green_uring_made(int fd, unsigned setup_flags) {
    fd_table.numbers_may_change = true;
    if (self == nullptr) return;
    fd_forget(fd);
    if (FdState* s = fd_state(fd)) s->announces = announces(setup_flags);
}

long green_uring_enter(const long* a) {
    CompletionWait w;
    bool waits = (a[3] & IORING_ENTER_GETEVENTS) != 0 && static_cast<unsigned>(a[2]) != 0;
    bool here = waits && understood(a, &w);
    if (waits ? !here : (a[3] & IORING_ENTER_SQ_WAIT) != 0) count_native("syscall");
    if (!here) return finish_call(enter_natively(a));
    long submitted = 0;
    if (a[1] != 0) {
        unsigned flags = static_cast<unsigned>(a[3]) & ~(IORING_ENTER_EXT_ARG);
        submitted = sys::invoke(SYS_io_uring_enter, a[0], a[1], 0, flags, nullptr, 0);
        if (submitted != a[1]) return submitted;  // not all: it does not wait
    }
    long r = wait_completions(w);
    return submitted != 0 ? submitted : r;
}

long green_io_getevents(const long* a) { return get_events(a, nullptr); }

long green_io_pgetevents(const long* a) {
    struct WithSize {
        const sigset_t* mask;
        size_t size;
    };
    auto* mask = reinterpret_cast<const WithSize*>(a[5]);
    return get_events(a, mask == nullptr ? nullptr : mask->mask);
}

}  // namespace green

// ---- liburing -----------------------------------------------------------------------------------

namespace {

struct Completion;

// struct io_uring of liburing.h, which is the same in all versions, as programs have it inside
// them.
struct Ring {
    char submission[104];
    CompletionQueue completion;
    char rest[56];
    unsigned flags;
    int fd;
};
static_assert(offsetof(Ring, fd) == 196);

// This library's first byte (ld(1)).
extern "C" __attribute__((visibility("hidden"))) const char __ehdr_start[];

int no_liburing() { return -ENOSYS; }

// What the caller would have called: liburing's, or that of an object that has one inside it. Who
// asks by a weak symbol whether there is a liburing finds us.
void* of_liburing(const char* name, const void* caller) {
    if (void* next = dlsym(RTLD_NEXT, name)) return next;
    Dl_info info = {};
    bool known = dladdr(caller, &info) != 0 && info.dli_fname != nullptr;
    void* object = known ? dlopen(info.dli_fname, RTLD_LAZY | RTLD_NOLOAD) : nullptr;
    void* function = object == nullptr ? nullptr : dlsym(object, name);
    bool anothers = dladdr(function, &info) != 0 && info.dli_fbase != __ehdr_start;
    return anothers ? function : reinterpret_cast<void*>(no_liburing);
}

CompletionWait of_ring(const Ring* ring, unsigned count, const timespec* timeout,
                       const sigset_t* mask) {
    if (FdState* s = fd_state(ring->fd)) s->announces = announces(ring->flags);
    return {ring->fd, false, count, deadline_in(timeout), mask, &ring->completion, 0};
}

// A ring's number was made by liburing itself: what was known of it is another's.
int ring_made(int r, const Ring* ring) {
    if (r == 0) green_uring_made(ring->fd, ring->flags);
    return r;
}

}  // namespace

// A function of liburing: exported, and without a row in the table of libc's. liburing_NAME(caller)
// is liburing's own.
#define URING_HOOK(type, name, parameters)                              \
    static inline auto liburing_##name(const void* caller) {            \
        static void* function = of_liburing(#name, caller);             \
        return reinterpret_cast<type(*) parameters>(function);          \
    }                                                                   \
    extern "C" GREEN_EXPORT type hook_##name parameters __asm__(#name); \
    type hook_##name parameters
#define CALLER __builtin_return_address(0)

URING_HOOK(int, io_uring_queue_init, (unsigned entries, Ring* ring, unsigned flags)) {
    return ring_made(liburing_io_uring_queue_init(CALLER)(entries, ring, flags), ring);
}
URING_HOOK(int, io_uring_queue_init_params,
           (unsigned entries, Ring* ring, io_uring_params* parameters)) {
    return ring_made(liburing_io_uring_queue_init_params(CALLER)(entries, ring, parameters), ring);
}

// What all inline functions of liburing.h end in that wait: submits, and gives the first completion
// once there are `count`. Asked for none it does not wait, and says -EAGAIN.
URING_HOOK(int, __io_uring_get_cqe,
           (Ring * ring, Completion** first, unsigned submit, unsigned count, sigset_t* mask)) {
    auto get = liburing___io_uring_get_cqe(CALLER);
    if (self == nullptr) return get(ring, first, submit, count, mask);
    if (count == 0) yield();  // it may be somebody's busy loop
    int r = get(ring, first, submit, 0, nullptr);
    bool enough_yet = r == 0 && count <= 1;
    if (count == 0 || enough_yet || (r != 0 && r != -EAGAIN)) return r;
    long waited = wait_completions(of_ring(ring, count, nullptr, mask));
    if (waited < 0) {
        *first = nullptr;
        return static_cast<int>(waited);
    }
    return get(ring, first, 0, 0, nullptr);
}

static int wait_for_first(Ring* ring, Completion** first, unsigned count, timespec* timeout,
                          sigset_t* mask, const void* caller) {
    long r = count == 0 ? 0 : wait_completions(of_ring(ring, count, timeout, mask));
    int got = liburing___io_uring_get_cqe(caller)(ring, first, 0, 0, nullptr);
    return r < 0 && got != 0 ? static_cast<int>(r) : got;
}

URING_HOOK(int, io_uring_wait_cqes,
           (Ring * ring, Completion** first, unsigned count, timespec* timeout, sigset_t* mask)) {
    if (self == nullptr) {
        return liburing_io_uring_wait_cqes(CALLER)(ring, first, count, timeout, mask);
    }
    return wait_for_first(ring, first, count, timeout, mask, CALLER);
}

URING_HOOK(int, io_uring_wait_cqe_timeout, (Ring * ring, Completion** first, timespec* timeout)) {
    if (self == nullptr) return liburing_io_uring_wait_cqe_timeout(CALLER)(ring, first, timeout);
    return wait_for_first(ring, first, 1, timeout, nullptr, CALLER);
}

// Only to reach liburing's.
static int submit_only(Ring* ring, const void* caller) {
    using Function = int (*)(Ring*);
    static auto submit = reinterpret_cast<Function>(of_liburing("io_uring_submit", caller));
    return submit(ring);
}

URING_HOOK(int, io_uring_submit_and_wait, (Ring * ring, unsigned count)) {
    if (self == nullptr || count == 0)
        return liburing_io_uring_submit_and_wait(CALLER)(ring, count);
    int submitted = submit_only(ring, CALLER);
    if (submitted < 0) return submitted;
    long r = wait_completions(of_ring(ring, count, nullptr, nullptr));
    return submitted != 0 ? submitted : static_cast<int>(r);
}

URING_HOOK(int, io_uring_submit_and_wait_timeout,
           (Ring * ring, Completion** first, unsigned count, timespec* timeout, sigset_t* mask)) {
    auto submit_and_wait = liburing_io_uring_submit_and_wait_timeout(CALLER);
    if (self == nullptr || count == 0) {
        return submit_and_wait(ring, first, count, timeout, mask);
    }
    int submitted = submit_only(ring, CALLER);
    if (submitted < 0) return submitted;
    int r = wait_for_first(ring, first, count, timeout, mask, CALLER);
    return r < 0 ? r : submitted;
}

URING_HOOK(int, io_uring_enter2,
           (unsigned fd, unsigned submit, unsigned count, unsigned flags, void* argument,
            size_t size)) {
    if (self == nullptr) {
        return liburing_io_uring_enter2(CALLER)(fd, submit, count, flags, argument, size);
    }
    long a[] = {fd, submit, count, flags, sys::arg(argument), static_cast<long>(size)};
    return static_cast<int>(green_uring_enter(a));
}
URING_HOOK(int, io_uring_enter,
           (unsigned fd, unsigned submit, unsigned count, unsigned flags, sigset_t* mask)) {
    if (self == nullptr) return liburing_io_uring_enter(CALLER)(fd, submit, count, flags, mask);
    long a[] = {fd, submit, count, flags, sys::arg(mask), sys::mask_size};
    return static_cast<int>(green_uring_enter(a));
}
