// The table of descriptors: see fd_table.h for what is remembered and why that is sound.

#include "runtime/fd_table.h"

#include <netinet/in.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/time.h>

#include "runtime/loop.h"
#include "runtime/scheduler.h"

namespace green {

namespace {

constexpr unsigned table_size = 1U << 20;  // fs.nr_open's default: what a process may have at most
constexpr uint32_t all_events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI | EPOLLET;
constexpr uint32_t always = EPOLLERR | EPOLLHUP;

FdState* table = nullptr;
uint32_t mode_epoch = 1;
uint32_t fork_epoch = 1;
unsigned numbers_used = 0;  // no number from here on was ever written to the table
YoungWait young;            // a ring: the oldest wait is young.next

int socket_option(int fd, int option) {
    int value = -1;
    socklen_t size = sizeof value;
    sys::invoke(SYS_getsockopt, fd, SOL_SOCKET, option, &value, &size);
    return value;
}

bool is_tcp(int fd) {
    int domain = socket_option(fd, SO_DOMAIN);
    return (domain == AF_INET || domain == AF_INET6) &&
           socket_option(fd, SO_PROTOCOL) == IPPROTO_TCP;
}

bool register_fd(int fd, FdState* s, int operation) {
    epoll_event event = {};
    event.events = all_events;
    event.data.u64 = static_cast<uint64_t>(s->generation) << 32 | static_cast<uint32_t>(fd);
    long r = loop_epoll_ctl(operation, fd, &event);
    // EEXIST: left from an earlier life of the number. MOD re-arms it, with today's generation.
    if (r == -EEXIST) r = loop_epoll_ctl(EPOLL_CTL_MOD, fd, &event);
    // ENOENT: the number means something else now, and nobody told us.
    if (r == -ENOENT) r = loop_epoll_ctl(EPOLL_CTL_ADD, fd, &event);
    s->registered = r == 0;
    if (r != 0) s->drained[in] = s->drained[out] = false;  // nobody will announce anything
    if (r == -EPERM) s->kind = FdKind::plain;
    return r == 0;
}

bool add_to_epoll(int fd, FdState* s) { return register_fd(fd, s, EPOLL_CTL_ADD); }

void link(FdWait* w) {
    FdState* s = fd_state(w->fd);
    w->previous = nullptr;
    w->next = s->waiters;
    if (s->waiters != nullptr) s->waiters->previous = w;
    s->waiters = w;
}

void unlink(FdWait* w) {
    (w->previous == nullptr ? fd_state(w->fd)->waiters : w->previous->next) = w->next;
    if (w->next != nullptr) w->next->previous = w->previous;
}

void young_add(YoungWait* y) {
    y->due = loop_time() + sys::second;
    y->next = &young;
    y->previous = young.previous;
    young.previous->next = y;
    young.previous = y;
}

void young_remove(YoungWait* y) {
    if (y->waits == nullptr) return;
    y->waits = nullptr;
    y->previous->next = y->next;
    y->next->previous = y->previous;
}

Thread* thread_of_young(YoungWait* y) {
    return reinterpret_cast<Thread*>(reinterpret_cast<char*>(y) - offsetof(Thread, young));
}

// Whether any of the thread's descriptors is ready although no event said so. One that is not ready
// gets its registration renewed, so that what happens to it later is announced.
bool was_missed(const YoungWait& y) {
    for (unsigned i = 0; i < y.count; ++i) {
        if (y.waits[i].fd < 0) continue;
        pollfd p = {y.waits[i].fd, static_cast<short>(y.waits[i].events), 0};
        FdState* s = fd_state(p.fd);
        if (sys::poll(&p, 1, 0) == 0) {
            if (s->registered) register_fd(p.fd, s, EPOLL_CTL_MOD);
        } else {
            s->registered = s->drained[in] = s->drained[out] = false;
            return true;
        }
    }
    return false;
}

}  // namespace

const char* fd_table_start() {
    if (table != nullptr) return nullptr;
    long memory =
        sys::invoke(SYS_mmap, nullptr, table_size * sizeof(FdState), PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (sys::failed(memory)) return "there is no address space for the descriptor table";
    table = reinterpret_cast<FdState*>(memory);
    young.next = young.previous = &young;
    return nullptr;
}

void fd_table_abandon() {
    if (table == nullptr) return;
    sys::invoke(SYS_munmap, table, table_size * sizeof(FdState));
    table = nullptr;
}

FdState* fd_state(int fd) {
    auto number = static_cast<unsigned>(fd);
    if (number >= table_size) return nullptr;
    if (number >= numbers_used) numbers_used = number + 1;
    return &table[number];
}

int fd_learn(int fd, FdState* s) {
    if (s->kind == FdKind::unknown) {
        struct stat st;
        long r = sys::invoke(SYS_fstat, fd, &st);
        if (r < 0) return static_cast<int>(-r);
        switch (st.st_mode & S_IFMT) {
            case S_IFSOCK:
                s->kind = FdKind::socket;
                s->tcp = is_tcp(fd);
                break;
            case S_IFREG:
            case S_IFDIR:
            case S_IFBLK:
            case S_IFLNK:
                s->kind = FdKind::plain;
                break;
            case S_IFCHR: {
                constexpr unsigned memory_devices = 1;  // /dev/null, zero, urandom: always ready
                bool memory = major(st.st_rdev) == memory_devices;
                s->kind = memory ? FdKind::plain : FdKind::poll_first;
                break;
            }
            default:
                s->kind = FdKind::nowait;
        }
    }
    if (s->mode_epoch != mode_epoch) {
        long flags = sys::invoke(SYS_fcntl, fd, F_GETFL);
        if (flags < 0) return static_cast<int>(-flags);
        s->nonblocking = (flags & O_NONBLOCK) != 0;
        s->timeouts_known = false;
        s->mode_epoch = mode_epoch;
    }
    return 0;
}

void fd_forget(int fd) {
    FdState* s = table == nullptr ? nullptr : fd_state(fd);
    if (s == nullptr) return;
    for (FdWait* w = s->waiters; w != nullptr; w = w->next) unpark(w->thread);
    // epoll forgets a description when its last descriptor is closed; where this is not the last
    // one, it must be told (epoll(7), question 6).
    if (s->registered && (s->duplicated || fd_shared(s))) {
        epoll_event unused = {};
        loop_epoll_ctl(EPOLL_CTL_DEL, fd, &unused);
    }
    if (s->kind == FdKind::unknown && !s->registered && s->waiters == nullptr) return;
    FdWait* waiters = s->waiters;
    uint32_t generation = s->generation + 1;
    *s = {};
    s->waiters = waiters;
    s->generation = generation;
}

void fd_forget_range(unsigned first, unsigned last) {
    if (table == nullptr) return;
    for (unsigned fd = first; fd <= last && fd < numbers_used; ++fd) {
        const FdState& s = table[fd];
        if (s.kind != FdKind::unknown || s.registered || s.waiters != nullptr) {
            fd_forget(static_cast<int>(fd));
        }
    }
}

FdState* fd_created(int fd, FdKind kind, bool nonblocking) {
    FdState* s = fd_state(fd);
    if (s == nullptr) return nullptr;
    fd_forget(fd);
    s->kind = kind;
    s->nonblocking = nonblocking;
    s->mode_epoch = mode_epoch;
    s->fork_epoch = fork_epoch;
    s->ours = true;
    s->timeouts_known = true;  // none, until setsockopt(2) says otherwise
    return s;
}

void fd_duplicated(int from, int to) {
    if (table == nullptr || from == to) return;
    fd_forget(to);
    if (FdState* s = fd_state(from)) s->duplicated = true;
    if (FdState* s = fd_state(to)) s->duplicated = true;
}

void fd_mode_changed(int fd, bool nonblocking) {
    FdState* s = table == nullptr ? nullptr : fd_state(fd);
    if (s == nullptr) return;
    if (!s->ours || s->duplicated) {
        ++mode_epoch;
    } else {
        s->nonblocking = nonblocking;
    }
}

void fd_doubt_mode(FdState* s) { s->mode_epoch = mode_epoch - 1; }

void fd_wake(int fd) {
    FdState* s = table == nullptr ? nullptr : fd_state(fd);
    if (s == nullptr) return;
    s->drained[in] = s->drained[out] = false;
    s->sticky = true;
    for (FdWait* w = s->waiters; w != nullptr; w = w->next) unpark(w->thread);
}

uint64_t fd_timeout(int fd, FdState* s, Direction direction) {
    if (!s->timeouts_known && s->kind == FdKind::socket) {
        for (int d = in; d <= out; ++d) {
            timeval t = {};
            socklen_t size = sizeof t;
            sys::invoke(SYS_getsockopt, fd, SOL_SOCKET, d == in ? SO_RCVTIMEO : SO_SNDTIMEO, &t,
                        &size);
            s->timeout[d] = static_cast<uint64_t>(t.tv_sec) * sys::second +
                            static_cast<uint64_t>(t.tv_usec) * 1000;
        }
        s->timeouts_known = true;
    }
    return s->timeout[direction];
}

void fd_timeouts_changed(int fd) {
    FdState* s = table == nullptr ? nullptr : fd_state(fd);
    if (s == nullptr) return;
    s->timeouts_known = false;
    if (!s->ours || s->duplicated) ++mode_epoch;
}

void fd_forked() { ++fork_epoch; }

bool fd_shared(const FdState* s) { return !s->ours || s->fork_epoch != fork_epoch; }

bool fd_watch(int fd) {
    FdState* s = fd_state(fd);
    return s != nullptr && (s->registered || add_to_epoll(fd, s));
}

Wake wait_fds(FdWait* waits, unsigned count, sys::Deadline deadline) {
    Thread* me = self;
    for (unsigned i = 0; i < count; ++i) {
        waits[i].thread = me;
        if (fd_state(waits[i].fd) == nullptr) waits[i].fd = -1;
        if (waits[i].fd >= 0) link(&waits[i]);
    }
    me->young.waits = waits;
    me->young.count = count;
    young_add(&me->young);
    Wake why = park(Park::fd, deadline);
    young_remove(&me->young);
    for (unsigned i = 0; i < count; ++i) {
        if (waits[i].fd >= 0) unlink(&waits[i]);
    }
    return why;
}

Wake wait_fd(int fd, uint32_t events, sys::Deadline deadline) {
    FdState* s = fd_state(fd);
    if (!s->registered && !add_to_epoll(fd, s)) {
        if (s->kind == FdKind::plain) return Wake::ready;
        // No memory, or no watches left (epoll_ctl(2), ENOSPC): look again soon.
        constexpr uint64_t soon = 5 * sys::millisecond;
        return wait_a_slice(soon, deadline,
                            [](sys::Deadline until) { return park(Park::sleep, until); });
    }
    FdWait w;
    w.fd = fd;
    w.events = events;
    return wait_fds(&w, 1, deadline);
}

void fd_event(const epoll_event& event) {
    auto fd = static_cast<int>(event.data.u64 & UINT32_MAX);
    FdState* s = fd_state(fd);
    if (s->generation != static_cast<uint32_t>(event.data.u64 >> 32)) return;
    uint32_t happened = event.events;
    if ((happened & (EPOLLIN | EPOLLRDHUP | EPOLLPRI | always)) != 0) s->drained[in] = false;
    if ((happened & EPOLLIN) != 0) s->announced = true;
    if ((happened & (EPOLLOUT | always)) != 0) s->drained[out] = false;
    if ((happened & (EPOLLRDHUP | EPOLLPRI | always)) != 0) s->sticky = true;
    for (FdWait* w = s->waiters; w != nullptr; w = w->next) {
        // EPOLLRDHUP means that read(2) has something to say: the end.
        uint32_t wanted = w->events | always | ((w->events & EPOLLIN) != 0 ? EPOLLRDHUP : 0U);
        if ((happened & wanted) != 0) unpark(w->thread);
    }
}

sys::Deadline fd_next_check() { return young.next == &young ? sys::never : young.next->due; }

void fd_check_young() {
    if (young.next == &young) return;
    uint64_t now = loop_time();
    while (young.next != &young && young.next->due <= now) {
        YoungWait* y = young.next;
        if (was_missed(*y)) {
            ++stats.missed_events;
            unpark(thread_of_young(y));
        }
        young_remove(y);
    }
}

}  // namespace green
