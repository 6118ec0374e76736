// Waiting for several descriptors: poll(2), select(2) and epoll_wait(2) in all their forms.
//
// All have one shape: ask the kernel with a time-out of zero; if nothing is ready, wait for an
// event on any of the descriptors; ask again. The answer the program sees is always the kernel's
// own. A call with a time-out of zero lets the other threads go first: it may be somebody's busy
// loop.

#include <limits.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/select.h>

#include <algorithm>

#include "hooks/accept_modes.h"
#include "hooks/accept_shape.h"
#include "hooks/activate.h"
#include "hooks/signal.h"
#include "hooks/wait.h"
#include "runtime/loop.h"

using namespace green;

namespace {

constexpr timespec zero = {0, 0};

// Room for the waits of one call: on the stack if they are few, since stacks may be small.
class Waits {
  public:
    explicit Waits(unsigned count) : count_(count), waits_(few_) {
        if (count_ <= few) return;
        long memory = sys::invoke(SYS_mmap, nullptr, bytes(), PROT_READ | PROT_WRITE,
                                  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        waits_ = sys::failed(memory) ? nullptr : reinterpret_cast<FdWait*>(memory);
    }
    ~Waits() {
        if (waits_ != few_ && waits_ != nullptr) sys::invoke(SYS_munmap, waits_, bytes());
    }
    Waits(const Waits&) = delete;
    Waits& operator=(const Waits&) = delete;

    bool no_memory() const { return waits_ == nullptr; }
    FdWait& operator[](unsigned i) { return waits_[i]; }

    // Registers what is not registered yet and parks. Without room for a registration, looks again
    // soon instead.
    Wake wait(sys::Deadline deadline) {
        bool all_watched = true;
        for (unsigned i = 0; i < count_; ++i) {
            if (waits_[i].fd >= 0) all_watched = fd_watch(waits_[i].fd) && all_watched;
        }
        if (all_watched) return wait_fds(waits_, count_, deadline);
        constexpr uint64_t soon = 5 * sys::millisecond;
        return wait_a_slice(soon, deadline, [this](sys::Deadline until) {
            return wait_fds(waits_, count_, until);
        });
    }

  private:
    static constexpr unsigned few = 8;
    size_t bytes() const { return count_ * sizeof(FdWait); }
    unsigned count_;
    FdWait* waits_;
    FdWait few_[few];
};

// The shape itself. `ask()` is the system call with no time-out; `fill(waits)` says what to wait
// for.
template <class Ask, class Fill>
long ask_and_wait(sys::Deadline deadline, bool no_wait, unsigned count, Ask ask_kernel, Fill fill) {
    auto ask = [&] {
        SignalsShown scope;
        return ask_kernel();
    };
    cancel_if_pending();
    if (accept_mode != AcceptMode::off) settle_connections();
    if (no_wait) yield();
    long r = ask();
    if (r != 0) {
        if (!no_wait) count_unparked_call();
        return r;
    }
    // A handler that runs now runs within the call, which ppoll(2)'s mask may have let in: had it
    // run before, the call would wait for a signal that has been and gone.
    if (safe_point()) return -EINTR;
    cancel_if_pending();
    if (no_wait) return 0;
    Waits waits(count);
    if (waits.no_memory()) return -ENOMEM;
    fill(waits);
    if (accept_mode != AcceptMode::off && comes_back_in_vain(&waits[0], count)) {
        waits.~Waits();
        end_flow();
    }
    for (;;) {
        Wake why = waits.wait(deadline);
        r = ask();
        if (r != 0 || why == Wake::timed_out) {
            if (why == Wake::interrupted) self->interrupt_next_park = true;  // for polled()
            return r;
        }
        if (why == Wake::interrupted && interruption_ends_call(false)) return -EINTR;
    }
}

// The call as the program sees it. What came before it ends is handled before it returns, by the
// mask that is in force afterwards: one that ppoll(2)'s alone lets in stays pending if something is
// ready.
template <class Call>
int polled(const sigset_t* mask, Call call) {
    long r;
    {
        MaskDuringCall scope(mask);
        r = call();
    }
    return static_cast<int>(result(waited(r)));
}

uint32_t to_epoll(short events) {
    uint32_t bits = static_cast<uint32_t>(events) & (EPOLLIN | EPOLLOUT | EPOLLPRI | EPOLLRDHUP);
    if ((events & (POLLRDNORM | POLLRDBAND)) != 0) bits |= EPOLLIN;
    if ((events & (POLLWRNORM | POLLWRBAND)) != 0) bits |= EPOLLOUT;
    return bits;
}

long green_poll(pollfd* fds, nfds_t count, sys::Deadline deadline, bool no_wait) {
    long r = ask_and_wait(
        deadline, no_wait, static_cast<unsigned>(count), [=] { return sys::poll_now(fds, count); },
        [=](Waits& waits) {
            for (unsigned i = 0; i < count; ++i) {
                waits[i].fd = fds[i].fd;
                waits[i].events = to_epoll(fds[i].events);
            }
        });
    if (r <= 0 || !is_active_mode()) return r;
    Turn turn;
    auto for_ready = [=](auto act) {
        for (nfds_t i = 0; i < count; ++i) {
            if (fds[i].revents != 0) act(fds[i]);
        }
    };
    for_ready([&](const pollfd& p) { turn.sees_ready(p.fd); });
    for_ready([&](pollfd& p) {
        if (!turn.passes_over(p.fd)) return;
        p.revents = 0;
        --r;
    });
    turn.promise(turn.told);
    return r;
}

// The three sets of a select(2) call: inputs kept aside, results written to the program's own.
class Sets {
  public:
    Sets(int count, fd_set* r, fd_set* w, fd_set* e) : bytes_(words(count) * sizeof(long)) {
        fd_set* given[] = {r, w, e};
        if (count > usual) {  // programs may pass larger sets than FD_SETSIZE says
            long memory = sys::invoke(SYS_mmap, nullptr, 3 * bytes_, PROT_READ | PROT_WRITE,
                                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            large_ = sys::failed(memory) ? nullptr : reinterpret_cast<unsigned long*>(memory);
            no_memory = large_ == nullptr;
        }
        for (int i = 0; i < 3 && !no_memory; ++i) {
            sets_[i] = reinterpret_cast<unsigned long*>(given[i]);
            if (sets_[i] != nullptr) __builtin_memcpy(asked(i), sets_[i], bytes_);
        }
    }
    ~Sets() {
        if (large_ != nullptr) sys::invoke(SYS_munmap, large_, 3 * bytes_);
    }
    Sets(const Sets&) = delete;
    Sets& operator=(const Sets&) = delete;

    long ask(int count) {
        for (;;) {  // as sys::poll_now()
            restore();
            timespec t = zero;
            long r = sys::invoke(SYS_pselect6, count, sets_[0], sets_[1], sets_[2], &t, nullptr);
            if (r != -EINTR) return r;
        }
    }

    void restore() {
        for (int i = 0; i < 3; ++i) {
            if (sets_[i] != nullptr) __builtin_memcpy(sets_[i], asked(i), bytes_);
        }
    }

    uint32_t events(int fd) const {
        constexpr uint32_t bits[] = {EPOLLIN, EPOLLOUT, EPOLLPRI};
        uint32_t events = 0;
        for (int i = 0; i < 3; ++i) {
            bool set = sets_[i] != nullptr &&
                       (asked(i)[fd / bits_per_word] >> (fd % bits_per_word) & 1) != 0;
            if (set) events |= bits[i];
        }
        return events;
    }

    // In the program's own sets: whether a number is in any; taken out, and of how many.
    bool told(int fd) const {
        for (const unsigned long* set : sets_) {
            if (set != nullptr && (set[fd / bits_per_word] & bit(fd)) != 0) return true;
        }
        return false;
    }
    int clear(int fd) {
        int cleared = 0;
        for (unsigned long* set : sets_) {
            if (set == nullptr || (set[fd / bits_per_word] & bit(fd)) == 0) continue;
            set[fd / bits_per_word] &= ~bit(fd);
            ++cleared;
        }
        return cleared;
    }

    bool no_memory = false;

  private:
    static constexpr int bits_per_word = 64;
    static unsigned long bit(int fd) { return 1UL << (fd % bits_per_word); }
    static constexpr int usual = FD_SETSIZE;
    unsigned long* asked(int i) {
        return large_ != nullptr ? large_ + i * (bytes_ / sizeof(long)) : asked_[i];
    }
    const unsigned long* asked(int i) const { return const_cast<Sets*>(this)->asked(i); }
    static size_t words(int count) {
        return static_cast<size_t>(count + bits_per_word - 1) / bits_per_word;
    }
    size_t bytes_;
    unsigned long* sets_[3] = {};
    unsigned long* large_ = nullptr;
    unsigned long asked_[3][usual / bits_per_word];
};

// select(2) with the highest number that there may be (getdtablesize(3)) and sets of the usual size
// is common. The kernel reads and writes the sets no further than its table of descriptors goes,
// which our own numbers have made longer: so no further than it would without them, to the power of
// two after the highest number.
int within_sets(int count) {
    int own = own_numbers_begin();
    static int table = FD_SETSIZE;  // never gets shorter
    if (count <= table || own == INT_MAX) return count;
    struct {
        int own, highest;
    } found = {own, 0};
    auto look = [](const char* name, void* to) {
        auto* f = static_cast<decltype(found)*>(to);
        int fd = 0;
        for (; *name >= '0' && *name <= '9'; ++name) fd = 10 * fd + *name - '0';
        if (fd < f->own) f->highest = std::max(f->highest, fd);
    };
    auto is_open = [](int fd) { return sys::invoke(SYS_fcntl, fd, F_GETFD) >= 0; };
    if (is_open(count - 1) && !loop_owns_fd(count - 1)) {
        found.highest = count - 1;
    } else if (sandboxed || !sys::for_each_entry("/proc/self/fd", look, &found)) {
        found.highest = std::min(count, own) - 1;
        while (found.highest >= table && !is_open(found.highest)) --found.highest;
    }
    while (table <= found.highest) table *= 2;
    return std::min(count, table);
}

long green_select(int count, fd_set* r, fd_set* w, fd_set* e, sys::Deadline deadline,
                  bool no_wait) {
    if (count < 0) return -EINVAL;
    Sets sets(count, r, w, e);
    if (sets.no_memory) return -ENOMEM;
    unsigned wanted = 0;
    for (int fd = 0; fd < count; ++fd) wanted += sets.events(fd) != 0 ? 1 : 0;
    long got = ask_and_wait(
        deadline, no_wait, wanted, [&] { return sets.ask(count); },
        [&](Waits& waits) {
            unsigned i = 0;
            for (int fd = 0; fd < count; ++fd) {
                if (sets.events(fd) == 0) continue;
                waits[i].fd = fd;
                waits[i++].events = sets.events(fd);
            }
        });
    if (got < 0) sets.restore();
    if (got <= 0 || !is_active_mode()) return got;
    Turn turn;
    for (int fd = 0; fd < count; ++fd) {
        if (sets.told(fd)) turn.sees_ready(fd);
    }
    for (int fd = 0; fd < count; ++fd) {
        if (sets.told(fd) && turn.passes_over(fd)) got -= sets.clear(fd);
    }
    turn.promise(turn.told);
    return got;
}

void tell_time_left(sys::Deadline deadline, timeval* t) {
    uint64_t now = sys::now();
    uint64_t left = deadline > now ? deadline - now : 0;
    t->tv_sec = static_cast<time_t>(left / sys::second);
    t->tv_usec = static_cast<suseconds_t>(left % sys::second / 1000);
}

long green_epoll_wait(int fd, epoll_event* events, int max, sys::Deadline deadline, bool no_wait) {
    bool in_turn = is_active_mode() && watches_listener(fd);
    if (in_turn && max > 1) max = 1;
    long r = ask_and_wait(
        deadline, no_wait, 1, [=] { return sys::epoll_wait(fd, events, max, 0); },
        [=](Waits& waits) {
            waits[0].fd = fd;
            waits[0].events = EPOLLIN;
        });
    if (r > 0 && in_turn) Turn().promise(fd);
    return r;
}

sys::Deadline deadline_in_ms(int ms) {
    return ms < 0 ? sys::never : sys::after(static_cast<uint64_t>(ms) * sys::millisecond);
}

void look_at(const pollfd* fds, nfds_t count) {
    if (accept_mode != AcceptMode::off) shape_sees_poll(fds, count);
}
void look_at(int count, const fd_set* r, const fd_set* w) {
    if (accept_mode != AcceptMode::off) shape_sees_select(count, r, w);
}

bool is_zero(const timespec* t) { return t != nullptr && t->tv_sec == 0 && t->tv_nsec == 0; }

}  // namespace

HOOK(int, poll, (pollfd * fds, nfds_t count, int timeout), redirected) {
    look_at(fds, count);
    if (self == nullptr)
        return static_cast<int>(
            result(plain_point([=] { return sys::poll(fds, count, timeout); })));
    return polled(nullptr,
                  [=] { return green_poll(fds, count, deadline_in_ms(timeout), timeout == 0); });
}
HOOK_ALIAS(__poll, poll, redirected)

HOOK(int, __poll_chk, (pollfd * fds, nfds_t count, int timeout, size_t room), interposed) {
    if (room / sizeof *fds < count) __builtin_trap();
    return hook_poll(fds, count, timeout);
}

HOOK(int, ppoll, (pollfd * fds, nfds_t count, const timespec* timeout, const sigset_t* mask),
     redirected) {
    look_at(fds, count);
    if (self == nullptr) {
        timespec copy = timeout == nullptr ? zero : *timeout;
        return static_cast<int>(result(invoke_point(
            SYS_ppoll, fds, count, timeout == nullptr ? nullptr : &copy, mask, sys::mask_size)));
    }
    if (timeout != nullptr && !valid(timeout)) return static_cast<int>(result(-EINVAL));
    return polled(mask,
                  [=] { return green_poll(fds, count, deadline_in(timeout), is_zero(timeout)); });
}

HOOK(int, __ppoll_chk,
     (pollfd * fds, nfds_t count, const timespec* timeout, const sigset_t* mask, size_t room),
     interposed) {
    if (room / sizeof *fds < count) __builtin_trap();
    return hook_ppoll(fds, count, timeout, mask);
}

HOOK(int, select, (int count, fd_set* r, fd_set* w, fd_set* e, timeval* timeout), redirected) {
    count = within_sets(count);
    look_at(count, r, w);
    if (self == nullptr) {
        return static_cast<int>(
            result(plain_point([=] { return sys::select(count, r, w, e, timeout); })));
    }
    if (timeout == nullptr) {
        return polled(nullptr, [=] { return green_select(count, r, w, e, sys::never, false); });
    }
    if (timeout->tv_sec < 0 || timeout->tv_usec < 0) return static_cast<int>(result(-EINVAL));
    // select(2) accepts a million microseconds and more, and Linux writes back what is left.
    timespec t = {timeout->tv_sec + timeout->tv_usec / 1000000, timeout->tv_usec % 1000000 * 1000};
    sys::Deadline deadline = deadline_in(&t);
    return polled(nullptr, [=] {
        long got = green_select(count, r, w, e, deadline, is_zero(&t));
        tell_time_left(deadline, timeout);
        return got;
    });
}
HOOK_ALIAS(__select, select, redirected)

HOOK(int, pselect,
     (int count, fd_set* r, fd_set* w, fd_set* e, const timespec* timeout, const sigset_t* mask),
     redirected) {
    count = within_sets(count);
    look_at(count, r, w);
    if (self == nullptr) {
        timespec copy = timeout == nullptr ? zero : *timeout;
        struct {
            const sigset_t* mask;
            size_t size;
        } with_size = {mask, sys::mask_size};
        return static_cast<int>(result(invoke_point(
            SYS_pselect6, count, r, w, e, timeout == nullptr ? nullptr : &copy, &with_size)));
    }
    if (timeout != nullptr && !valid(timeout)) return static_cast<int>(result(-EINVAL));
    return polled(
        mask, [=] { return green_select(count, r, w, e, deadline_in(timeout), is_zero(timeout)); });
}

// That our set watches the program's makes a nest of sets deeper, and paths longer, of which a
// descriptor that hundreds of sets hold may have only so many (ELOOP and EINVAL in epoll_ctl(2)).
// The program comes first: who waits for a set that finds no place in ours looks again and again.
HOOK(int, epoll_ctl, (int set, int operation, int fd, epoll_event* event), redirected) {
    auto call = [=] { return sys::invoke(SYS_epoll_ctl, set, operation, fd, event); };
    auto at_limit = [](long r) { return r == -ELOOP || r == -EINVAL; };
    bool adds = operation == EPOLL_CTL_ADD;
    long r = call();
    if (self != nullptr && adds && set != fd) {
        if (at_limit(r) && fd_unwatch(set)) r = call();
        if (at_limit(r) && fd_unwatch_sets()) r = call();
    }
    if (r == 0 && adds && accept_mode != AcceptMode::off) {
        flow_adds_member(set, fd, (event->events & (EPOLLET | EPOLLONESHOT)) != 0);
    }
    return static_cast<int>(result(r));
}

HOOK(int, epoll_wait, (int fd, epoll_event* events, int max, int timeout), redirected) {
    if (in_loop()) return loop_poll(fd, events, max, timeout);
    if (accept_mode != AcceptMode::off) shape_comes_back(fd);
    if (self == nullptr) {
        return static_cast<int>(
            result(plain_point([=] { return sys::epoll_wait(fd, events, max, timeout); })));
    }
    return polled(nullptr, [=] {
        return green_epoll_wait(fd, events, max, deadline_in_ms(timeout), timeout == 0);
    });
}

HOOK(int, epoll_pwait, (int fd, epoll_event* events, int max, int timeout, const sigset_t* mask),
     redirected) {
    if (accept_mode != AcceptMode::off) shape_comes_back(fd);
    if (self == nullptr) {
        return static_cast<int>(
            result(invoke_point(SYS_epoll_pwait, fd, events, max, timeout, mask, sys::mask_size)));
    }
    return polled(mask, [=] {
        return green_epoll_wait(fd, events, max, deadline_in_ms(timeout), timeout == 0);
    });
}

HOOK(int, epoll_pwait2,
     (int fd, epoll_event* events, int max, const timespec* timeout, const sigset_t* mask),
     redirected) {
    if (accept_mode != AcceptMode::off) shape_comes_back(fd);
    if (self == nullptr) {
        return static_cast<int>(
            result(invoke_point(SYS_epoll_pwait2, fd, events, max, timeout, mask, sys::mask_size)));
    }
    if (timeout != nullptr && !valid(timeout)) return static_cast<int>(result(-EINVAL));
    return polled(mask, [=] {
        return green_epoll_wait(fd, events, max, deadline_in(timeout), is_zero(timeout));
    });
}
