// What is remembered about each descriptor, and waiting for one.
//
// A descriptor is registered with the epoll set once, edge-triggered and for everything, when a
// thread first has to wait for it. Readiness is remembered here: `drained` means that the kernel
// said "no more" and has not announced anything since. A read that finds its direction drained
// parks at once, without a wasted system call. The rules that make this sound (epoll(7),
// "edge-triggered"):
//
//  - drained is set by EAGAIN, and by a short read from a TCP socket, which empties its queue;
//  - any event clears it; a registration reports what is ready at that time;
//  - once an end of stream, an error or urgent data was announced, a short read proves nothing any
//    more (no further edge would come): `sticky` stays set until the number is closed.
//
// A number may come to mean something else behind our back (a raw close in a library, a stale
// duplicate). fd_forget() is called by every hook that can know; as a net under that, a thread that
// has waited for a second has its descriptors asked once with poll(2). A miss costs a second and a
// counter (stats.missed_events), never a hang.
#pragma once

#include <sys/epoll.h>

#include "runtime/thread.h"

namespace green {

enum class FdKind : uint8_t {
    unknown,
    socket,      // MSG_DONTWAIT asks without blocking
    nowait,      // pipes, eventfd, timerfd ...: RWF_NOWAIT does
    poll_first,  // terminals, inotify ...: ask poll(2), then make the call
    plain,       // files, directories, /dev/null: never waits for anybody
};

enum Direction : uint8_t { in, out };

struct FdState {
    FdWait* waiters;
    uint64_t timeout[2];  // SO_RCVTIMEO, SO_SNDTIMEO in ns; 0: none. Valid if timeouts_known
    uint32_t generation;  // counts what the number has meant; travels in the epoll event
    uint32_t mode_epoch;  // when `nonblocking` was asked
    uint32_t fork_epoch;  // when the descriptor came into being
    FdKind kind;
    bool nonblocking;  // O_NONBLOCK, the program's own
    bool timeouts_known;
    bool registered;
    bool drained[2];
    bool announced;  // an event said "readable" and no accept(2) has been made since
    bool sticky;
    bool listening;  // accept(2) is allowed on it
    bool tcp;        // a TCP stream: short reads drain
    bool ours;       // made in this process by a call we saw: other processes cannot have it
    bool duplicated;
};

// The state of a descriptor number; null for a number beyond the table (then: natively).
FdState* fd_state(int fd);

// Fills in `kind`, and `nonblocking` if it may have changed. errno of the failure or 0.
int fd_learn(int fd, FdState* state);

// The number is about to mean something else, or has just begun to. Waiters are woken: they find
// out.
void fd_forget(int fd);
void fd_forget_range(unsigned first, unsigned last);
// The number was made by socket(2), accept(2), pipe(2) ... with these properties.
FdState* fd_created(int fd, FdKind kind, bool nonblocking);
// `to` now shares the open file description of `from` (dup(2)).
void fd_duplicated(int from, int to);
// O_NONBLOCK is to be asked again: another process may have changed it.
void fd_doubt_mode(FdState* state);
// Wakes all who wait for `fd`: something happened that no event announces.
void fd_wake(int fd);
// O_NONBLOCK was set or cleared. Where others may share the description, all is asked anew.
void fd_mode_changed(int fd, bool nonblocking);
// SO_RCVTIMEO or SO_SNDTIMEO in ns, 0 for none; and: setsockopt(2) changed one.
uint64_t fd_timeout(int fd, FdState* state, Direction direction);
void fd_timeouts_changed(int fd);
// fork(2) was called: from now on our descriptions may be shared.
void fd_forked();
// Whether another process may hold the description too.
bool fd_shared(const FdState* state);

// A registered interest, on the waiting thread's stack.
struct FdWait {
    Thread* thread = nullptr;
    FdWait* next = nullptr;
    FdWait* previous = nullptr;
    int fd = -1;
    uint32_t events = 0;  // EPOLLIN, EPOLLOUT, EPOLLPRI ... (the poll(2) bits are the same)
};

// Parks the caller until something happened to `fd` in one of `events`. `ready` may be spurious,
// and is also returned at once for what cannot be waited for: the caller looks again.
Wake wait_fd(int fd, uint32_t events, sys::Deadline deadline = sys::never);

// Parks the caller until something happened to one of `count` descriptors; `waits` have fd and
// events filled in (negative fds are ignored). To be called after fd_watch() on each of them and a
// fruitless poll(2), in this order.
Wake wait_fds(FdWait* waits, unsigned count, sys::Deadline deadline);

// Registers a descriptor, if it is not yet. False if it cannot be waited for.
bool fd_watch(int fd);

// For the loop: an event, as epoll_wait(2) returned it; and the one-second check.
void fd_event(const epoll_event& event);
sys::Deadline fd_next_check();
void fd_check_young();

const char* fd_table_start();
void fd_table_abandon();

}  // namespace green
