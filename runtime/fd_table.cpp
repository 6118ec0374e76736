// The table of descriptors: see fd_table.h for what is remembered and why that is sound.

#include "runtime/fd_table.h"

#include <netinet/in.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <termios.h>

#include <algorithm>

#include "runtime/loop.h"
#include "runtime/park.h"
#include "runtime/slice.h"

namespace green {

FdTable fd_table;
EarlyDescriptors early;

namespace {

FdState*& table = fd_table.states;
unsigned& numbers_used = fd_table.numbers_used;
uint32_t& fork_epoch = fd_table.fork_epoch;
constexpr unsigned table_size = FdTable::size;

constexpr uint32_t all_events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI | EPOLLET;
constexpr uint32_t always = EPOLLERR | EPOLLHUP;

uint32_t mode_epoch = 1;
YoungWait young;  // a ring: the oldest wait is young.next
YoungWait old;    // a ring, too: the waits that are to be looked at once more, much later

// Pairs made before there was a table; the last ones.
struct Pair {
    int writer, reader;
};
constexpr unsigned most_pairs = 64;
Pair early_pairs[most_pairs];
unsigned early_pair_count = 0;

bool is_tcp(int fd) {
    int domain = sys::socket_option(fd, SO_DOMAIN);
    return (domain == AF_INET || domain == AF_INET6) &&
           sys::socket_option(fd, SO_PROTOCOL) == IPPROTO_TCP;
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

// Epochs wrap around after weeks of a busy server; 0 is what a state has that was never asked.
void next(uint32_t* epoch) { *epoch += *epoch == UINT32_MAX ? 2 : 1; }

void doubt_all_modes() {
    next(&mode_epoch);
    next(&fd_table.settled);
}

// Nothing is known of the number, and nobody waits for it.
bool means_nothing(const FdState& s) {
    return s.kind == FdKind::unknown && !s.registered && !s.ours && !s.announces &&
           s.waiters == nullptr;
}

bool add_to_epoll(int fd, FdState* s) { return register_fd(fd, s, EPOLL_CTL_ADD); }

// The first one's `previous` is the last. As in the kernel, who waits in a call of its own queues
// up, and of those who poll the last comes first, before all others.
enum class Place : bool { first, last };
void link(FdWait* w, FdState* s, Place place) {
    FdWait* head = s->waiters;
    w->next = place == Place::first ? head : nullptr;
    w->previous = head == nullptr ? w : head->previous;
    if (head == nullptr || place == Place::first) {
        s->waiters = w;
    } else {
        head->previous->next = w;
    }
    if (head != nullptr) head->previous = w;
}

void unlink(FdWait* w, FdState* s) {
    FdWait* head = s->waiters;
    (w == head ? s->waiters : w->previous->next) = w->next;
    if (w->next != nullptr) {
        w->next->previous = w->previous;
    } else if (w != head) {
        head->previous = w->previous;
    }
}

// A coarse clock, so that a thread's whole wait fits into its first cache line.
constexpr int tick_bits = 20;                                         // 1.05 ms
constexpr uint32_t second_in_ticks = (sys::second >> tick_bits) + 2;  // at least
// Waits that become a second old within this time are looked at together, at its end.
constexpr uint32_t together = 256;
constexpr uint32_t long_in_ticks = 10 * second_in_ticks;
uint32_t ticks(uint64_t ns) { return static_cast<uint32_t>(ns >> tick_bits); }
bool is_due(const YoungWait& y, uint32_t now) { return static_cast<int32_t>(y.due - now) <= 0; }

void ring_add(YoungWait* ring, YoungWait* y, uint32_t after) {
    y->due = ticks(loop_time()) + after;
    y->next = ring;
    y->previous = ring->previous;
    ring->previous->next = y;
    ring->previous = y;
}

void young_add(YoungWait* y, FdWait* waits, unsigned count) {
    y->waits = waits;
    y->count = count;
    ring_add(&young, y, second_in_ticks);
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

// What is asked about the descriptors of waits that are a second old, of many in one call.
struct Question {
    static constexpr unsigned most = 128;
    pollfd fds[most];
    Thread* waiting[most];
    unsigned count = 0;

    void add(const FdWait& w, Thread* t) {
        if (count == most) ask();
        fds[count] = {w.fd, static_cast<short>(w.events), 0};
        waiting[count++] = t;
    }
    void ask();
};

// A TCP socket that only this process has would have to be closed and made anew behind our back for
// its registration to be another's: whoever can do that has not been seen here.
bool is_surely_registered(const FdState* s) {
    return s->tcp && !fd_shared(s) && !fd_table.numbers_may_change;
}

// Who waits for one that is ready, although no event said so, is woken. One that is not ready gets
// its registration renewed, so that what happens to it later is announced; where that is hardly
// needed, later.
void Question::ask() {
    if (count > 0 && sys::poll_now(fds, count) < 0) {  // more than RLIMIT_NOFILE by now
        for (unsigned i = 0; i < count; ++i) sys::poll_now(&fds[i], 1);
    }
    for (unsigned i = 0; i < count; ++i) {
        FdState* s = fd_state(fds[i].fd);
        if (fds[i].revents == 0) {
            if (s->registered && !is_surely_registered(s)) {
                register_fd(fds[i].fd, s, EPOLL_CTL_MOD);
            }
            continue;
        }
        s->registered = s->drained[in] = s->drained[out] = false;
        if (waiting[i]->state == State::parked) ++stats.missed_events;
        unpark(waiting[i]);
    }
    count = 0;
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
    old.next = old.previous = &old;
    for (unsigned fd = 0; fd < early.words_used * 64; ++fd) {
        if ((early.words[fd / 64] >> (fd % 64) & 1) == 0) continue;
        FdState* s = fd_state(static_cast<int>(fd));
        s->ours = true;
        s->fork_epoch = fork_epoch;
    }
    for (const Pair& p : early_pairs) {
        if (p.writer != p.reader) fd_paired(p.writer, p.reader);
    }
    return nullptr;
}

void fd_table_abandon() {
    if (table == nullptr) return;
    sys::invoke(SYS_munmap, table, table_size * sizeof(FdState));
    table = nullptr;
}

int fd_learn(int fd, FdState* s) {
    if (s->kind == FdKind::unknown) {
        struct stat st;
        long r = sys::invoke(SYS_fstat, fd, &st);
        if (r < 0) return static_cast<int>(-r);
        switch (st.st_mode & S_IFMT) {
            case S_IFSOCK:
                s->kind = FdKind::socket;
                s->tcp = s->drains = is_tcp(fd);
                s->portions = sys::socket_option(fd, SO_RCVLOWAT) > 1;
                break;
            case S_IFREG:
            case S_IFBLK:
                s->kind = FdKind::plain;
                s->cached = true;
                break;
            case S_IFDIR:
            case S_IFLNK:
                s->kind = FdKind::plain;
                break;
            case S_IFCHR: {
                constexpr unsigned memory_devices = 1;  // /dev/null, zero, urandom: always ready
                bool memory = major(st.st_rdev) == memory_devices;
                termios unused;
                s->kind = memory ? FdKind::plain : FdKind::poll_first;
                s->portions = !memory && sys::invoke(SYS_ioctl, fd, TCGETS, &unused) == 0;
                break;
            }
            case S_IFIFO: {
                s->kind = FdKind::nowait;
                long flags = sys::invoke(SYS_fcntl, fd, F_GETFL);
                s->drains = flags >= 0 && (flags & O_DIRECT) == 0;  // else: one packet a read
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
    if (means_nothing(*s)) return;
    FdWait* waiters = s->waiters;
    uint32_t generation = s->generation + 1;
    *s = {};
    s->waiters = waiters;
    s->generation = generation;
}

void fd_forget_range(unsigned first, unsigned last) {
    if (table == nullptr) return;
    for (unsigned fd = first; fd <= last && fd < numbers_used; ++fd) {
        if (!means_nothing(table[fd]) && !table[fd].own) fd_forget(static_cast<int>(fd));
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
        doubt_all_modes();
    } else {
        s->nonblocking = nonblocking;
        s->settled = 0;
    }
}

void fd_doubt_mode(FdState* s) {
    s->mode_epoch = mode_epoch - 1;
    s->settled = 0;
}

void fd_settle(FdState* s) {
    bool settled = s->tcp && !s->nonblocking && !fd_shared(s) && s->timeouts_known &&
                   s->timeout[in] == 0 && s->timeout[out] == 0;
    s->settled = settled ? fd_table.settled : 0;
}

void fd_paired(int writer, int reader) {
    if (table == nullptr) {
        early_pairs[early_pair_count++ % most_pairs] = {writer, reader};
    } else if (FdState* s = fd_state(writer)) {
        s->reader = reader + 1;
    }
}

void fd_writes_packets(int writer) {
    FdState* s = table == nullptr ? nullptr : fd_state(writer);
    FdState* r = s == nullptr || s->reader == 0 ? nullptr : fd_state(s->reader - 1);
    if (r != nullptr) r->drains = r->drained[in] = false;
}

void fd_wake_reader(int reader) {
    FdState* s = fd_state(reader);
    s->drained[in] = false;
    for (FdWait* w = s->waiters; w != nullptr; w = w->next) {
        if ((w->events & EPOLLIN) != 0) unpark(w->thread);
    }
}

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
    s->settled = 0;
    if (!s->ours || s->duplicated) doubt_all_modes();
}

void fd_timeout_has_passed(int fd, Direction direction) {
    FdState* s = table == nullptr ? nullptr : fd_state(fd);
    if (s == nullptr || fd_learn(fd, s) != 0) return;
    fd_timeout(fd, s, direction);
    s->timeout[direction] = 1;
}

void fd_forked() {
    next(&fork_epoch);
    next(&fd_table.settled);
    for (unsigned i = 0; i < early.words_used; ++i) early.words[i] = 0;
    early.words_used = 0;
}

bool fd_watch(int fd) {
    FdState* s = fd_state(fd);
    return s != nullptr && (s->registered || add_to_epoll(fd, s));
}

bool fd_unwatch(int fd) {
    FdState* s = fd_state(fd);
    if (s == nullptr || !s->registered) return false;
    epoll_event unused = {};
    loop_epoll_ctl(EPOLL_CTL_DEL, fd, &unused);
    s->registered = s->drained[in] = s->drained[out] = false;
    for (FdWait* w = s->waiters; w != nullptr; w = w->next) unpark(w->thread);
    return true;
}

bool fd_unwatch_sets() {
    bool any = false;
    for (unsigned i = 0; i < numbers_used; ++i) {
        auto fd = static_cast<int>(i);
        if (table[i].registered && loop_is_epoll_set(fd)) any = fd_unwatch(fd) || any;
    }
    return any;
}

Wake wait_fds(FdWait* waits, unsigned count, sys::Deadline deadline) {
    Thread* me = self;
    if (me->shares_stack) waits = slice_keep(me, waits, count);
    for (FdWait* w = waits; w != waits + count; ++w) {
        w->thread = me;
        FdState* s = fd_state(w->fd);
        if (s == nullptr) w->fd = -1;
        if (s != nullptr) link(w, s, Place::first);
    }
    young_add(&me->young, waits, count);
    Wake why = park_here(me, Park::fd, deadline);
    young_remove(&me->young);
    for (FdWait* w = waits; w != waits + count; ++w) {
        if (w->fd >= 0) unlink(w, fd_state(w->fd));
    }
    return why;
}

// Who cannot be told by epoll looks again soon: no memory, or no watches left (epoll_ctl(2),
// ENOSPC).
__attribute__((noinline)) static Wake wait_untold(const FdState* s, sys::Deadline deadline) {
    if (s->kind == FdKind::plain) return Wake::ready;
    constexpr uint64_t soon = 5 * sys::millisecond;
    return wait_a_slice(soon, deadline,
                        [](sys::Deadline until) { return park(Park::sleep, until); });
}

Wake wait_fd(int fd, uint32_t events, sys::Deadline deadline) {
    FdState* s = fd_state(fd);
    if (!s->registered && !add_to_epoll(fd, s)) return wait_untold(s, deadline);
    Thread* me = self;
    FdWait* w = &me->fd_wait;
    w->thread = me;
    w->fd = fd;
    w->events = events;
    s->reads = 0;
    link(w, s, Place::last);
    young_add(&me->young, w, 1);
    Wake why = park_here(me, Park::fd, deadline);
    young_remove(&me->young);
    unlink(w, s);
    return why;
}

void fd_prefetch(const epoll_event& far, const epoll_event& near) {
    constexpr auto number = [](const epoll_event& e) { return static_cast<uint32_t>(e.data.u64); };
    if (number(far) < numbers_used) __builtin_prefetch(&table[number(far)]);
    const FdWait* w = number(near) < numbers_used ? table[number(near)].waiters : nullptr;
    if (w == nullptr) return;
    __builtin_prefetch(w);
    // The thread's first line, as a rule.
    __builtin_prefetch(reinterpret_cast<const char*>(w) - 64);
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

sys::Deadline fd_next_check() {
    uint64_t now = loop_time();
    sys::Deadline next = sys::never;
    for (const YoungWait* ring : {&young, &old}) {
        if (ring->next == ring) continue;
        auto left = static_cast<int32_t>(ring->next->due + together - ticks(now));
        next = std::min(next, left <= 0 ? now : now + (static_cast<uint64_t>(left) << tick_bits));
    }
    return next;
}

void fd_check_young() {
    uint32_t now = ticks(loop_time());
    auto goes = [=](const YoungWait& ring) {
        return ring.next != &ring && is_due(*ring.next, now - together);
    };
    if (goes(young)) {
        Question question;
        while (young.next != &young && is_due(*young.next, now)) {
            YoungWait* y = young.next;
            Thread* t = thread_of_young(y);
            FdWait* waits = y->waits;
            bool again = false;
            // One whose event came may have waited for the CPU since.
            for (unsigned i = 0; t->state == State::parked && i < y->count; ++i) {
                if (waits[i].fd < 0) continue;
                again = again || is_surely_registered(fd_state(waits[i].fd));
                question.add(waits[i], t);
            }
            young_remove(y);
            if (!again) continue;
            y->waits = waits;
            ring_add(&old, y, long_in_ticks);
        }
        question.ask();
    }
    if (goes(old)) {
        while (old.next != &old && is_due(*old.next, now)) {
            YoungWait* y = old.next;
            for (unsigned i = 0; i < y->count; ++i) {
                int fd = y->waits[i].fd;
                if (fd >= 0) register_fd(fd, fd_state(fd), EPOLL_CTL_MOD);
            }
            young_remove(y);
        }
    }
}

}  // namespace green
