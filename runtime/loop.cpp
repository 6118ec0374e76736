// The loop's thread and its one system call: see loop.h.

#include "runtime/loop.h"

#include <ev.h>
#include <sys/eventfd.h>
#include <sys/resource.h>

#include "runtime/fd_table.h"
#include "runtime/offload.h"
#include "runtime/scheduler.h"

namespace green {

namespace {

struct ev_loop* libev = nullptr;
Thread* thread = nullptr;
int epoll_fd = -1;
int libev_fd = -1;  // libev's own epoll descriptor, once it has used it
int wake_fd = -1;   // an eventfd
uint64_t time_now = 0;
bool have_pwait2 = true;

constexpr int batch = 256;
epoll_event ready[batch];

// What the descriptors that are not a thread's carry in our set.
constexpr uint64_t is_libev = UINT64_MAX, is_wake = UINT64_MAX - 1;

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
    return n < 0 ? 0 : n;
}

uint64_t time_to_wait(int libev_timeout_ms) {
    if (!run_queue_empty() || libev_timeout_ms == 0) return 0;
    sys::Deadline next = timers.next() < fd_next_check() ? timers.next() : fd_next_check();
    uint64_t limit = sys::never;
    if (next != sys::never) {
        uint64_t now = sys::now();
        limit = next > now ? next - now : 0;
    }
    uint64_t libev_limit = static_cast<uint64_t>(libev_timeout_ms) * sys::millisecond;
    // With nothing to wait for, libev asks for a minute. So it does for a timer beyond that.
    return libev_timeout_ms >= 0 && libev_limit < limit ? libev_limit : limit;
}

// libev meets a pending invocation only after its poll: what other threads fed it must not wait.
void run(Thread*) {
    self = nullptr;
    for (;;) {
        ev_run(libev, EVRUN_ONCE);
        expire_timers();
        fd_check_young();
        if (!run_queue_empty()) run_next_from_loop(thread);
    }
}

void close_own(int* fd) {
    if (*fd >= 0) sys::invoke(SYS_close, *fd);
    *fd = -1;
}

bool watch_own(int fd, uint64_t as) {
    epoll_event event = {};
    event.events = EPOLLIN;
    event.data.u64 = as;
    return loop_epoll_ctl(EPOLL_CTL_ADD, fd, &event) == 0;
}

}  // namespace

Thread* loop_start() {
    epoll_fd = move_fd_high(static_cast<int>(sys::invoke(SYS_epoll_create1, EPOLL_CLOEXEC)));
    if (epoll_fd < 0) return nullptr;
    wake_fd =
        move_fd_high(static_cast<int>(sys::invoke(SYS_eventfd2, 0, EFD_CLOEXEC | EFD_NONBLOCK)));
    if (wake_fd < 0 || !watch_own(wake_fd, is_wake)) {
        close_own(&wake_fd);
        close_own(&epoll_fd);
        return nullptr;
    }
    libev = ev_loop_new(unsigned{EVBACKEND_EPOLL} | unsigned{EVFLAG_NOENV} |
                        unsigned{EVFLAG_NOSIGMASK});
    ThreadOptions options;
    options.stack_size = size_t{256} << 10;
    thread = libev == nullptr ? nullptr : thread_make(options, run);
    if (thread == nullptr) {
        if (libev != nullptr) ev_loop_destroy(libev);
        libev = nullptr;
        close_own(&wake_fd);
        close_own(&epoll_fd);
        return nullptr;
    }
    ev_ref(libev);  // it has our descriptors to wait for even when it has none of its own
    *thread_local_in(thread->block, &self) = nullptr;
    time_now = sys::now();
    // One turn at once, so that libev's descriptor is known before the program goes on.
    Thread* caller = owner;
    owner = thread;
    ev_run(libev, EVRUN_NOWAIT);
    owner = caller;
    return thread;
}

void loop_abandon() {
    close_own(&epoll_fd);
    close_own(&wake_fd);
    libev_fd = -1;
    thread = nullptr;
    // libev closes its own copies; its epoll set itself lives on in the parent.
    if (libev != nullptr) ev_loop_destroy(libev);
    libev = nullptr;
}

bool in_loop() { return thread != nullptr && owner == thread; }

int loop_poll(int fd, epoll_event* events, int max, int timeout_ms) {
    if (fd != libev_fd) {
        libev_fd = fd;
        watch_own(fd, is_libev);
    }
    ++stats.loop_polls;
    long n = wait_for_events(time_to_wait(timeout_ms));
    time_now = sys::now();
    int libevs_own = 0;
    for (long i = 0; i < n; ++i) {
        if (ready[i].data.u64 == is_libev) {
            long own = sys::epoll_wait(fd, events, max, 0);
            libevs_own = own < 0 ? 0 : static_cast<int>(own);
        } else if (ready[i].data.u64 == is_wake) {
            uint64_t count;
            sys::invoke(SYS_read, wake_fd, &count, sizeof count);
            offload_collect();
            if (loop_on_wake != nullptr) loop_on_wake();
        } else {
            fd_event(ready[i]);
        }
    }
    return libevs_own;
}

long loop_epoll_ctl(int operation, int fd, epoll_event* event) {
    return sys::invoke(SYS_epoll_ctl, epoll_fd, operation, fd, event);
}

uint64_t loop_time() { return time_now; }

struct ev_loop* loop_libev() {
    return libev;
}

void (*loop_on_wake)() = nullptr;

void loop_wake() {
    constexpr uint64_t one = 1;
    sys::invoke(SYS_write, wake_fd, &one, sizeof one);
}

bool loop_is_being_made() { return epoll_fd >= 0 && libev == nullptr; }

int loop_highest_fd() {
    int highest = epoll_fd > libev_fd ? epoll_fd : libev_fd;
    return highest > wake_fd ? highest : wake_fd;
}

bool loop_owns_fd(int fd) { return fd >= 0 && (fd == epoll_fd || fd == libev_fd || fd == wake_fd); }

int move_fd_high(int fd) {
    if (fd < 0) return fd;
    // Above the soft limit, where the program's own numbers cannot reach; the limit is lifted for
    // this one call if the hard one allows it, else the highest numbers must do. No higher than is
    // needed: the kernel's table reaches up to the highest number, and every fork copies it.
    constexpr rlim_t room = 64, high_enough = 65536;
    rlimit limit = {};
    sys::invoke(SYS_prlimit64, 0, RLIMIT_NOFILE, nullptr, &limit);
    rlim_t from = limit.rlim_cur > 2 * room ? limit.rlim_cur - room : 3;
    bool lifted = false;
    if (limit.rlim_cur > high_enough) {
        from = high_enough;
    } else if (limit.rlim_max - room >= limit.rlim_cur) {
        rlimit higher = {limit.rlim_cur + room, limit.rlim_max};
        lifted = !sys::failed(sys::invoke(SYS_prlimit64, 0, RLIMIT_NOFILE, &higher, nullptr));
        if (lifted) from = limit.rlim_cur;
    }
    long high = sys::invoke(SYS_fcntl, fd, F_DUPFD_CLOEXEC, from);
    if (lifted) sys::invoke(SYS_prlimit64, 0, RLIMIT_NOFILE, &limit, nullptr);
    sys::invoke(SYS_close, fd);
    return static_cast<int>(high);
}

}  // namespace green
