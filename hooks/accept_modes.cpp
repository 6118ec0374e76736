// Who waits at which listener, and when a copy takes over: see accept_modes.h.
//
// For each listener there is an acceptor, a green thread of our own. It waits for a connection
// while no flow does, lets everybody who is runnable go first (one of them may be on its way to
// accept), and then starts the copy. `waiting` is the flow that found nothing at the listener, or
// was told of a connection there, and has not accepted since: it is trusted to come back, also
// while it does something else in between.

#include "hooks/accept_modes.h"

#include <dlfcn.h>
#include <stdio.h>

#include "hooks/accept_check.h"
#include "hooks/accept_fork.h"
#include "hooks/accept_shape.h"
#include "hooks/activate.h"
#include "hooks/signal.h"
#include "hooks/wait.h"
#include "hooks/worker.h"
#include "runtime/slice.h"

namespace green {

AcceptMode accept_mode = AcceptMode::off;
unsigned max_flows = 1024;

namespace {

struct Listener {
    int fd = -1;  // -1: a free place
    uint32_t generation = 0;
    Thread* waiting = nullptr;
    uint64_t set = 0;  // what else it waits for, as a hash
    Snapshot snapshot;
    bool left_copy = false;
    Thread* acceptor = nullptr;
};

// The first `count` of a table; what was there before may have left free places.
template <class T, int most>
struct Table {
    T all[most];
    int count = 0;
    T* begin() { return all; }
    T* end() { return all + count; }
    T* add() { return count < most ? &all[count++] : nullptr; }
};
Table<Listener, 256> listeners;

// Listeners that are waited for by way of an epoll set.
struct Member {
    int set;
    uint32_t set_generation;
    int fd;
    bool edge;  // told of once: who is told may not leave it to another one
};
Table<Member, 256> members;

unsigned flows = 1;
bool began = false;  // a copy was left, at any listener
bool clones_made = false;
bool not_needed = false;  // no more copies; the mode is off when there is only one flow
int last_told = -1;       // the listener that poll(2) or select(2) told of last

uint32_t generation_of(int fd) {
    FdState* s = fd_table.states == nullptr ? nullptr : fd_state(fd);
    return s == nullptr ? 0 : s->generation;
}

bool is_open(const Listener& l) { return l.fd >= 0 && generation_of(l.fd) == l.generation; }

bool is_stale(const Member& m) { return m.set < 0 || m.set_generation != generation_of(m.set); }
bool is_in(int set, const Member& m) { return m.set == set && !is_stale(m); }

Listener* find(int fd) {
    for (Listener& l : listeners) {
        if (l.fd == fd && is_open(l)) return &l;
    }
    return nullptr;
}

void wake_acceptors() {
    for (Listener& l : listeners) {
        if (l.acceptor != nullptr) wake_address(&l);
    }
}

void no_longer_waits(Thread* t) {
    for (Listener& l : listeners) {
        if (l.waiting == t) l.waiting = nullptr;
    }
}

// The caller waits here and nowhere else: another flow had taken what poll(2) promised it, and may
// have been told of other listeners as well, where somebody else is needed now.
void waits_only_at(Listener* here) {
    for (Listener& l : listeners) {
        if (&l == here || l.waiting != self) continue;
        l.waiting = nullptr;
        if (l.acceptor != nullptr) wake_address(&l);
    }
    here->waiting = self;
    here->set = 0;
}

bool may_start_copy(const Listener& l) {
    if (l.waiting != nullptr || !l.left_copy) return false;
    return accept_mode == AcceptMode::fork ? fork_may_go(max_flows) : flows < max_flows;
}

void start_copy(Listener* l) {
    if (accept_mode == AcceptMode::fork) return fork_go();
    Thread* t = slice_resume(l->snapshot);
    if (t == nullptr) {  // no memory: perhaps later
        park(Park::sleep, sys::after(100 * sys::millisecond));
        return;
    }
    l->waiting = t;
    ++flows;
    clones_made = true;
    signals_thread_begins(t);
    thread_start(t);
}

void run_acceptor(Thread* me) {
    auto* l = static_cast<Listener*>(me->argument);
    for (;;) {
        if (!is_open(*l)) {
            l->fd = -1;
            l->left_copy = false;
            snapshot_drop(&l->snapshot);
            wait_address(l);
        } else if (!may_start_copy(*l)) {
            wait_address(l);
        } else if (!ready_now(l->fd, EPOLLIN)) {
            wait_fd(l->fd, EPOLLIN);
        } else {
            // One that makes threads comes back at once, but may have to wait for a thread's start.
            constexpr uint64_t soon = 20 * sys::millisecond;
            if (shape_is_in_doubt()) park(Park::sleep, sys::after(soon));
            yield_as_hog();
            if (is_open(*l) && may_start_copy(*l) && ready_now(l->fd, EPOLLIN)) start_copy(l);
        }
    }
}

bool start_acceptor(Listener* l) {
    if (l->acceptor == nullptr) {
        ThreadOptions options;
        options.stack_size = 65536;
        l->acceptor = thread_make(options, run_acceptor);
        if (l->acceptor == nullptr) return false;
        l->acceptor->argument = l;
        l->acceptor->blocked = ~uint64_t{0};
        run_queue_add(l->acceptor);
    } else {
        wake_address(l);
    }
    return true;
}

bool any_open() {
    bool open = false;
    for (const Listener& l : listeners) open = open || is_open(l);
    return open;
}

void adopt(int fd) {
    FdState* s = fd_state(fd);
    if (find(fd) != nullptr || s == nullptr || sys::socket_option(fd, SO_ACCEPTCONN) <= 0) return;
    if (fd_learn(fd, s) != 0) return;
    Listener* place = nullptr;
    for (Listener& l : listeners) {
        if (place == nullptr && !is_open(l)) place = &l;
    }
    if (place == nullptr) place = listeners.add();
    if (place == nullptr) return;
    place->fd = fd;
    place->generation = s->generation;
    place->waiting = nullptr;
    place->left_copy = false;
    if (!start_acceptor(place)) place->fd = -1;
}

// Before the program accepts, or when it has closed what it accepted from: the listeners that there
// are now are the ones that it goes round, however it came by them. One that it makes while it
// serves a connection (the data connections of FTP) is used once.
void adopt_all(int fd) {
    bool goes_round = false;
    for (const Listener& l : listeners) {
        goes_round = goes_round || (is_open(l) && (l.waiting != nullptr || l.left_copy));
    }
    if ((began && goes_round) || fork_is_copy()) return;
    adopt(fd);
    auto look = [](const char* name, void*) {
        int number = 0;
        for (; *name >= '0' && *name <= '9'; ++name) number = 10 * number + *name - '0';
        adopt(number);
    };
    if (!sandboxed) sys::for_each_entry("/proc/self/fd", look, nullptr);
}

// Whether the caller runs on the program's own stack, as a flow or as what becomes the first one.
bool is_flow() {
    if (accept_mode == AcceptMode::fork) return self->slot.base == nullptr;
    if (self->slice != nullptr) return true;
    if (!slices_start()) return false;
    static bool known = false;
    if (!known) {
        // C++ exceptions in flight (the C++ ABI's __cxa_eh_globals: a pointer and a counter).
        auto globals = reinterpret_cast<void* (*)()>(dlsym(RTLD_DEFAULT, "__cxa_get_globals"));
        if (globals != nullptr) slice_add_state(globals(), 2 * sizeof(void*));
        known = true;
    }
    flows = 1;
    return true;
}

// What is known by numbers that mean something else by now.
void forget_closed() {
    for (Listener& l : listeners) {
        if (!is_open(l)) l.fd = -1;
    }
    for (Member& m : members) {
        if (is_stale(m)) m.set = -1;
    }
}

// This process is a copy now: it has listeners, but starts nothing of its own at them.
void become_copy() {
    began = false;
    for (Member& m : members) m.set_generation = generation_of(m.set);
    for (Listener& l : listeners) {
        if (l.acceptor != nullptr) thread_release(l.acceptor);
        if (l.fd < 0) continue;
        int fd = l.fd;
        l = {};
        l.fd = fd;
        if (FdState* s = fd_state(fd)) fd_learn(fd, s);
        l.generation = generation_of(fd);
    }
}

// Leaves a copy of the caller behind, which stands where the caller stands.
void leave_copy(Listener* l, long connection, bool* copied) {
    began = true;
    *copied = false;
    shape_accepted(l->fd, static_cast<int>(connection));
    if (not_needed) return;
    bool left;
    if (accept_mode == AcceptMode::fork) {
        fork_on_change = wake_acceptors;
        forget_closed();
        left = fork_leave_spare(l->fd, static_cast<int>(connection), copied);
        if (*copied) return become_copy();
        for (Listener& other : listeners) other.left_copy = false;  // there is one spare
    } else {
        left = slice_take(&l->snapshot, copied);
        if (*copied) return;
    }
    l->left_copy = left;
    wake_acceptors();
}

// Whether the caller, who is at the listener, is one too many.
bool is_superfluous(const Listener& l) {
    if (fork_is_copy()) return began;
    return l.waiting != nullptr && l.waiting != self;
}

// The listener that `fd` is, or those that it watches; of an edge-triggered set one, which stands
// for all. True if there are any.
template <class Act>
bool for_listeners_at(int fd, Act act) {
    Listener* l = find(fd);
    if (l != nullptr) {
        act(*l);
        return true;
    }
    bool any = false;
    for (const Member& m : members) {
        if (!is_in(fd, m) || (l = find(m.fd)) == nullptr) continue;
        any = true;
        act(*l);
        if (m.edge) break;
    }
    return any;
}

void note_member(int set, int fd, bool edge) {
    if (sys::socket_option(fd, SO_ACCEPTCONN) <= 0) return;
    if (self != nullptr && (fd_state(set) == nullptr || fd_learn(set, fd_state(set)) != 0)) return;
    Member* place = nullptr;
    for (Member& m : members) {
        bool same = m.set == set && m.fd == fd;
        if (same || (place == nullptr && is_stale(m))) place = &m;
    }
    if (place == nullptr) place = members.add();
    if (place != nullptr) *place = {set, generation_of(set), fd, edge};
}

}  // namespace

bool is_active_mode() {
    return accept_mode == AcceptMode::clone || accept_mode == AcceptMode::fork;
}

bool connections_have_shared_memory() { return clones_made; }

bool flow_ends(Thread* t) {
    if (t->slice == nullptr) return false;
    t->detached = true;
    no_longer_waits(t);
    --flows;
    if (not_needed && flows <= 1) accept_mode = AcceptMode::off;
    wake_acceptors();
    return flows > 0;
}

void end_flow() {
    if (fork_is_copy()) fork_end();
    flow_ends(self);
    signals_thread_ends(self);
    thread_finish();
}

void settle_connections() {
    if (accept_mode == AcceptMode::fork && self->slot.base == nullptr) fork_settle();
}

bool comes_back_in_vain(FdWait* waits, unsigned count) {
    if (self->slice == nullptr && (self->slot.base != nullptr || !any_open())) return false;
    uint64_t set = count;
    bool only_listeners = true, any = false, waited_for = true;
    for (unsigned i = 0; i < count; ++i) {
        if (waits[i].fd < 0) continue;
        constexpr uint64_t prime = 1099511628211U;
        set = (set ^ static_cast<uint64_t>(waits[i].fd) ^ uint64_t{waits[i].events} << 32) * prime;
        bool listens = for_listeners_at(waits[i].fd, [](Listener&) {});
        only_listeners = only_listeners && listens;
        any = any || listens;
    }
    if (!any || !is_flow()) return false;
    if (fork_is_copy()) return only_listeners;
    if (accept_mode == AcceptMode::fork) fork_drop_spare();
    Thread* who = self;  // or another one that waits for all of this
    for (const Listener& l : listeners) {
        if (l.fd >= 0 && l.waiting != nullptr && l.waiting != self && l.set == set) who = l.waiting;
    }
    for (unsigned i = 0; i < count; ++i) {
        for_listeners_at(waits[i].fd, [&](Listener& l) {
            if (who != self && l.waiting == nullptr) {
                l.waiting = who;
                l.set = set;
            } else if (l.waiting == nullptr || l.waiting == self) {
                l.waiting = self;
                l.set = set;
                waited_for = false;
            } else if (!only_listeners && l.set != set) {
                waited_for = false;
            }
        });
    }
    return waited_for;
}

bool watches_listener(int set) {
    for (const Member& m : members) {
        if (is_in(set, m)) return true;
    }
    return false;
}

void Turn::sees_ready(int fd) {
    if (find(fd) == nullptr) return;
    auto distance = [](int number) { return static_cast<unsigned>(number - last_told - 1); };
    if (told < 0 || distance(fd) < distance(told)) told = fd;
}

bool Turn::passes_over(int fd) const { return fd != told && find(fd) != nullptr; }

void Turn::promise(int fd) {
    if (fd < 0 || !is_flow()) return;
    for (const Member& m : members) {
        if (is_in(fd, m) && m.edge) return;
    }
    if (told >= 0) last_told = told;
    for_listeners_at(fd, [](Listener& l) { l.waiting = self; });
}

void accept_mode_is_not_needed(const char* why) {
    if (accept_mode == AcceptMode::check) return check_needs_no_mode(why);
    if (accept_mode == AcceptMode::off || not_needed || fork_is_copy()) return;
    if (warnings) {
        constexpr const char* names[] = {"off", "clone", "fork", "check", "auto"};
        dprintf(2, "libgreen: --accept=%s is off from now on: the program %s\n",
                names[static_cast<int>(accept_mode)], why);
    }
    not_needed = true;
    if (accept_mode == AcceptMode::fork) fork_end_spare();
    for (Listener& l : listeners) l.left_copy = false;
    if (accept_mode != AcceptMode::clone || flows == 1) accept_mode = AcceptMode::off;
}

// Natively, and looked at. In automatic mode true: enough was seen, and the mode is now another.
bool accept_observed(int listener, long connection, const void* frame) {
    if (connection < 0 || sys::invoke(SYS_gettid) != sys::invoke(SYS_getpid)) return false;
    shape_accepted(listener, static_cast<int>(connection));
    check_accepted(static_cast<int>(connection), frame);
    if (accept_mode != AcceptMode::automatic || !check_is_done()) return false;
    if (const char* why = check_finds_no_need()) {
        accept_mode_is_not_needed(why);
        return false;
    }
    bool safe = check_finds_clone_safe();
    accept_mode = safe ? AcceptMode::clone : AcceptMode::fork;
    if (!warnings) return true;
    dprintf(2, "libgreen: --accept=auto chose %s: %s\n", safe ? "clone" : "fork", check_reason());
    return true;
}

long accept_in_mode(int fd, sockaddr* address, socklen_t* size, int flags, AcceptCall call) {
    bool tells_peer = address != nullptr && size != nullptr;
    socklen_t room = tells_peer ? *size : 0;
    long observed = -1;
    if (!is_active_mode()) {
        observed = self == nullptr ? accept_natively(fd, address, size, flags)
                                   : call(fd, address, size, flags);
        if (!accept_observed(fd, observed, __builtin_frame_address(0))) return observed;
    }
    bool native = self == nullptr && !activate();
    bool flow = !native && is_flow();
    if (flow) adopt_all(fd);
    Listener* l = flow ? find(fd) : nullptr;
    if (l == nullptr) {
        if (observed >= 0) return observed;
        if (native) return accept_natively(fd, address, size, flags);
        return call(fd, address, size, flags);
    }
    if (observed >= 0) {
        bool copied;
        leave_copy(l, observed, &copied);
        if (!copied) return observed;
        if (tells_peer) *size = room;
    }
    for (;;) {
        shape_comes_back(fd);
        if (is_superfluous(*l)) end_flow();
        waits_only_at(l);
        // A spare at another listener stays: what select(2) had told of this one may be taken by
        // now, and then nobody else would serve that one.
        bool drop = accept_mode == AcceptMode::fork && !fork_is_copy() && l->left_copy;
        if (drop) fork_drop_spare();
        settle_connections();
        long r = call(fd, address, size, flags);
        if (r < 0) return r;
        no_longer_waits(self);
        bool copied;
        leave_copy(l, r, &copied);
        if (!copied) return r;
        if (tells_peer) *size = room;  // as it was before the first call
    }
}

void accept_modes_after_fork_in_child() {
    for (Listener& l : listeners) {
        if (l.acceptor != nullptr) thread_release(l.acceptor);
        snapshot_drop(&l.snapshot);
        l = {};
    }
    fork_forget();
    check_forget();
    shape_forget();
    if (not_needed) accept_mode = AcceptMode::off;
    listeners.count = members.count = 0;
    flows = 1;
    began = false;
}

void flow_listens(int fd) {
    if (accept_mode == AcceptMode::check) check_listens();
    if (is_active_mode() && activate()) adopt_all(fd);
}

void flow_adds_member(int set, int fd, bool edge) {
    shape_sees_member(set, fd);
    note_member(set, fd, edge);
}

}  // namespace green
