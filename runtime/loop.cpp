// The loop's thread and its one system call: see loop.h.

#include "runtime/loop.h"

#include <dlfcn.h>
#include <ev.h>
#include <limits.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/timerfd.h>

#include <algorithm>

#include "runtime/fd_table.h"
#include "runtime/late_modules.h"
#include "runtime/offload.h"
#include "runtime/parking_lot.h"
#include "runtime/resolver.h"
#include "runtime/scheduler.h"

namespace green {

namespace {

struct {
    struct ev_loop* (*loop_new)(unsigned);
    void (*loop_destroy)(struct ev_loop*);
    void (*ref)(struct ev_loop*);
    int (*run)(struct ev_loop*, int);
} of_libev;

struct ev_loop* libev = nullptr;
Thread* thread = nullptr;
int epoll_fd = -1;
int libev_fd = -1;  // libev's own epoll descriptor, once it has used it
int wake_fd = -1;   // an eventfd
int watch_fd = -1;  // a timerfd
int lowest_own_fd = INT_MAX, highest_own_fd = -1;  // the OwnFds that ever were
int lowest_high_fd = INT_MAX;                      // move_fd_high's
bool libev_asked = false;
bool turning = false;  // the loop runs
uint64_t time_now = 0;
bool have_pwait2 = true;

// The watch looks after what nobody announces: waits that are a second old (fd_table.h), and a
// second in which nothing came at all. A timer of its own, set once a second at most: a time-out
// of each wait would cost it 0.1 us.
bool watch_set = false;
bool seen_anything = false;  // since it was set
bool stall_told = false;     // nothing came for a second, nor since

constexpr int batch = 256;
epoll_event ready[batch];

// What the descriptors that are not a thread's carry in our set.
constexpr uint64_t is_libev = UINT64_MAX, is_wake = UINT64_MAX - 1, is_watch = UINT64_MAX - 2;

// One wait for everything. A signal handler that ran, or nothing in time: 0.
long wait_for_events(uint64_t limit) {
    long n;
    if (limit == 0 || !have_pwait2) {
        // Rounded up: to wake early would be to wake in vain.
        uint64_t ms = limit == sys::never ? 0 : (limit + sys::millisecond - 1) / sys::millisecond;
        int timeout = limit == sys::never ? -1 : static_cast<int>(ms < 3600000 ? ms : 3600000);
        n = sys::epoll_wait(epoll_fd, ready, batch, timeout);
    } else {
        timespec t = sys::to_timespec(limit == sys::never ? 0 : limit);
        n = sys::invoke(SYS_epoll_pwait2, epoll_fd, ready, batch,
                        limit == sys::never ? nullptr : &t, nullptr, sizeof(sigset_t));
        if (n == -ENOSYS || n == -EPERM) {  // an old kernel, or a sandbox that does not know it
            have_pwait2 = false;
            return wait_for_events(limit);
        }
    }
    context_check_fs();
    return n < 0 ? 0 : n;
}

// With nothing to wait for, libev asks for a minute. So it does for a timer beyond that.
bool is_endless(int libev_timeout_ms) {
    constexpr int no_timer_of_libevs = 59000;
    return libev_timeout_ms < 0 || libev_timeout_ms >= no_timer_of_libevs;
}

uint64_t time_to_wait(int libev_timeout_ms) {
    if (!run_queue_empty() || libev_timeout_ms == 0) return 0;
    uint64_t limit = sys::never;
    if (timers.next() != sys::never) {
        uint64_t now = sys::now();
        limit = timers.next() > now ? timers.next() - now : 0;
    }
    uint64_t libev_limit = static_cast<uint64_t>(libev_timeout_ms) * sys::millisecond;
    return libev_timeout_ms >= 0 && libev_limit < limit ? libev_limit : limit;
}

void set_watch() {
    if (watch_set) return;
    sys::Deadline due = fd_next_check();
    if (!stall_told && loop_on_stall != nullptr) due = std::min(due, time_now + sys::second);
    if (due == sys::never) return;
    itimerspec when = {{}, sys::to_timespec(due > 0 ? due : 1)};
    watch_set = sys::invoke(SYS_timerfd_settime, watch_fd, TFD_TIMER_ABSTIME, &when, nullptr) == 0;
    seen_anything = false;
}

void watch_fires(bool endless) {
    uint64_t count;
    sys::invoke(SYS_read, watch_fd, &count, sizeof count);
    watch_set = false;
    if (seen_anything || stall_told || !endless || timers.next() != sys::never) return;
    stall_told = true;
    if (loop_on_stall != nullptr) loop_on_stall();
}

void wake_arrives() {
    uint64_t count;
    sys::invoke(SYS_read, wake_fd, &count, sizeof count);
    offload_collect();
    wake_for_outsiders();
    if (loop_on_wake != nullptr) loop_on_wake();
}

// One look at the world. True if libev has events of its own.
bool poll_events(int libev_timeout_ms) {
    ++stats.loop_polls;
    uint64_t limit = time_to_wait(libev_timeout_ms);
    if (limit != 0) set_watch();
    long n = wait_for_events(limit);
    time_now = sys::now();
    bool for_libev = false;
    for (long i = 0; i < n; ++i) {
        constexpr long far = 6, near = 3;
        if (i + far < n) fd_prefetch(ready[i + far], ready[i + near]);
        uint64_t what = ready[i].data.u64;
        if (what == is_watch) {
            watch_fires(n == 1 && is_endless(libev_timeout_ms));
            continue;
        }
        seen_anything = true;
        stall_told = false;
        if (what == is_libev) {
            for_libev = true;
        } else if (what == is_wake) {
            wake_arrives();
        } else {
            fd_event(ready[i]);
        }
    }
    return for_libev;
}

// Turns of the loop until somebody can run, on the block of the thread that left for the loop: its
// `self` is null meanwhile, its errno is kept. Returns that thread, or null where the block is the
// loop's own. Never inlined: no address in a block may outlive the switch to another one.
//
// libev meets a pending invocation only after its poll: what other threads fed it must not wait.
// As long as nobody has asked for libev, it has nothing to run, and its turn is left out.
__attribute__((noinline)) Thread* turns() {
    Thread* lender = self;
    int error = errno;
    self = nullptr;
    turning = true;
    do {
        if (libev_asked) {
            of_libev.run(libev, EVRUN_ONCE);
        } else {
            poll_events(-1);
        }
        if (late_modules_possible) late_modules_init();
        expire_timers();
        fd_check_young();
    } while (run_queue_empty());
    turning = false;
    self = lender;
    errno = error;
    return lender;
}

void run() {
    for (;;) {
        thread->context.fs = nullptr;
        run_next_from_loop(thread, turns());
    }
}

void close_own(int* fd) {
    if (*fd >= 0) sys::invoke(SYS_close, *fd);
    *fd = -1;
}

void close_all_own() {
    close_own(&epoll_fd);
    close_own(&wake_fd);
    close_own(&watch_fd);
}

// An OwnFd's, in this process.
bool is_own(int fd) { return fd >= lowest_own_fd && fd <= highest_own_fd && fd_state(fd)->own; }

bool watch_own(int fd, uint64_t as) {
    epoll_event event = {};
    event.events = EPOLLIN;
    event.data.u64 = as;
    return loop_epoll_ctl(EPOLL_CTL_ADD, fd, &event) == 0;
}

template <class T>
bool look_up(void* library, T& function, const char* name) {
    function = reinterpret_cast<T>(dlsym(library, name));
    return function != nullptr;
}

}  // namespace

const char* loop_load() {
    if (of_libev.run != nullptr) return nullptr;
    void* library = dlopen("libev.so.4", RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) return "libev.so.4 cannot be loaded";
    bool all = look_up(library, of_libev.loop_new, "ev_loop_new") &&
               look_up(library, of_libev.loop_destroy, "ev_loop_destroy") &&
               look_up(library, of_libev.ref, "ev_ref");
    void* run = dlsym(library, "ev_run");
    if (!all || run == nullptr) return "libev.so.4 is not the one libgreen knows";
    // What libev calls of its own is then the program's, too (ld.so(8), "scope").
    void* everybodys = dlsym(RTLD_DEFAULT, "ev_run");
    if (everybodys != nullptr && everybodys != run) return "it brings a libev of its own";
    of_libev.run = reinterpret_cast<int (*)(struct ev_loop*, int)>(run);
    return nullptr;
}

Thread* loop_start() {
    epoll_fd = move_fd_high(static_cast<int>(sys::invoke(SYS_epoll_create1, EPOLL_CLOEXEC)));
    if (epoll_fd < 0) return nullptr;
    wake_fd =
        move_fd_high(static_cast<int>(sys::invoke(SYS_eventfd2, 0, EFD_CLOEXEC | EFD_NONBLOCK)));
    watch_fd = move_fd_high(static_cast<int>(
        sys::invoke(SYS_timerfd_create, CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK)));
    bool watched = wake_fd >= 0 && watch_fd >= 0 && watch_own(wake_fd, is_wake) &&
                   watch_own(watch_fd, is_watch);
    if (!watched) {
        close_all_own();
        return nullptr;
    }
    libev = of_libev.loop_new(unsigned{EVBACKEND_EPOLL} | unsigned{EVFLAG_NOENV} |
                              unsigned{EVFLAG_NOSIGMASK});
    ThreadOptions options;
    options.stack_size = size_t{256} << 10;
    thread = libev == nullptr ? nullptr : thread_make(options, nullptr);
    if (thread == nullptr) {
        if (libev != nullptr) of_libev.loop_destroy(libev);
        libev = nullptr;
        close_all_own();
        return nullptr;
    }
    of_libev.ref(libev);  // it has our descriptors to wait for even when it has none of its own
    context_make(&thread->context, thread, run);
    thread->context.fs = nullptr;  // it runs on its caller's block (turns)
    *thread_local_in(thread->block, &self) = nullptr;
    time_now = sys::now();
    // One turn at once, so that libev's descriptor is known before the program goes on.
    turning = true;
    of_libev.run(libev, EVRUN_NOWAIT);
    turning = false;
    return thread;
}

void loop_abandon() {
    close_all_own();
    for (int fd = lowest_own_fd; fd <= highest_own_fd; ++fd) {
        if (is_own(fd)) sys::invoke(SYS_close, fd);
    }
    lowest_own_fd = INT_MAX;
    highest_own_fd = -1;
    // libev's loop itself is left where it lies, a few KiB: to free it is the program's allocator's
    // business, which may be locked until the program's own handlers of pthread_atfork(3) have run.
    close_own(&libev_fd);
    libev_asked = watch_set = stall_told = turning = false;
    thread = nullptr;
    libev = nullptr;
}

bool in_loop() { return owner != nullptr && self == nullptr && turning; }

int loop_poll(int fd, epoll_event* events, int max, int timeout_ms) {
    if (fd != libev_fd) {
        libev_fd = fd;
        watch_own(fd, is_libev);
    }
    if (!poll_events(timeout_ms)) return 0;
    long own = sys::epoll_wait(fd, events, max, 0);
    return own < 0 ? 0 : static_cast<int>(own);
}

long loop_epoll_ctl(int operation, int fd, epoll_event* event) {
    return sys::invoke(SYS_epoll_ctl, epoll_fd, operation, fd, event);
}

// It is asked for ours, which it cannot hold; what is no set says EINVAL.
bool loop_is_epoll_set(int fd) {
    epoll_event unused = {};
    return sys::invoke(SYS_epoll_ctl, fd, EPOLL_CTL_DEL, epoll_fd, &unused) == -ENOENT;
}

uint64_t loop_time() { return time_now; }

struct ev_loop* loop_libev() {
    libev_asked = libev != nullptr;
    return libev;
}

void (*loop_on_wake)() = nullptr;
void (*loop_on_stall)() = nullptr;

bool loop_has_events() {
    pollfd p = {epoll_fd, POLLIN, 0};
    return sys::poll_now(&p, 1) > 0;
}

void loop_wake() {
    constexpr uint64_t one = 1;
    sys::invoke(SYS_write, wake_fd, &one, sizeof one);
}

bool loop_is_being_made() { return epoll_fd >= 0 && libev == nullptr; }

int loop_highest_fd() {
    return std::max({epoll_fd, libev_fd, wake_fd, watch_fd, dns_highest_fd(), highest_own_fd});
}

bool loop_owns_fd(int fd) {
    if (fd < 0) return false;
    return is_own(fd) || fd == epoll_fd || fd == libev_fd || fd == wake_fd || fd == watch_fd ||
           dns_owns_fd(fd);
}

int own_fd_make(long made) {
    int fd = move_fd_high(static_cast<int>(made));
    if (fd < 0) return fd;
    FdState* s = fd_created(fd, FdKind::poll_first, false);
    if (s == nullptr) {
        sys::invoke(SYS_close, fd);
        return -EMFILE;
    }
    s->own = true;
    lowest_own_fd = std::min(lowest_own_fd, fd);
    highest_own_fd = std::max(highest_own_fd, fd);
    return fd;
}

// In the child of a fork(2) meanwhile the number may mean something else.
void own_fd_close(int fd) {
    if (!is_own(fd)) return;
    fd_forget(fd);
    sys::invoke(SYS_close, fd);
}

int move_fd_high(int fd) {
    if (fd < 0) return fd;
    // Above the soft limit, where the program's own numbers cannot reach; the limit is lifted for
    // this one call if the hard one allows it, else the highest numbers must do. No higher than is
    // needed: the kernel's table reaches up to the highest number, and every fork copies it.
    constexpr rlim_t room = 64, high_enough = 65536;
    rlimit limit = {};
    sys::invoke(SYS_prlimit64, 0, RLIMIT_NOFILE, nullptr, &limit);
    rlim_t from = limit.rlim_cur - std::min(room, limit.rlim_cur / 2);
    bool lifted = false;
    if (limit.rlim_cur > high_enough) {
        from = high_enough;
    } else if (limit.rlim_max - room >= limit.rlim_cur) {
        rlimit higher = {limit.rlim_cur + room, limit.rlim_max};
        lifted = !sys::failed(sys::invoke(SYS_prlimit64, 0, RLIMIT_NOFILE, &higher, nullptr));
        if (lifted) from = limit.rlim_cur;
    }
    auto high = static_cast<int>(sys::invoke(SYS_fcntl, fd, F_DUPFD_CLOEXEC, from));
    if (lifted) sys::invoke(SYS_prlimit64, 0, RLIMIT_NOFILE, &limit, nullptr);
    sys::invoke(SYS_close, fd);
    if (high >= 0) lowest_high_fd = std::min(lowest_high_fd, high);
    return high;
}

int own_numbers_begin() { return lowest_high_fd; }

}  // namespace green
