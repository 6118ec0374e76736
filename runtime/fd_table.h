// What is remembered about each descriptor, and waiting for one.
//
// A descriptor is registered with the epoll set once, edge-triggered and for everything, when a
// thread first has to wait for it. Readiness is remembered here: `drained` means that the kernel
// said "no more" and has not announced anything since. A read that finds its direction drained
// parks at once, without a wasted system call. The rules that make this sound (epoll(7),
// "edge-triggered"):
//
//  - drained is set by EAGAIN, and by a short read from a TCP socket or a pipe, which empties it;
//  - any event clears it; a registration reports what is ready at that time;
//  - once an end of stream, an error or urgent data was announced, a short read proves nothing any
//    more (no further edge would come): `sticky` stays set until the number is closed.
//
// Who writes to a pipe, or into one end of a pair of sockets, that this process made wakes the
// reader itself: it need not wait for the kernel to tell what we did. The numbers of both ends are
// only a hint, as one may have come to mean something else: then somebody looks once in vain.
//
// A program that knows how much comes reads just that, and no short read tells that it was all. As
// a rule there is as much each time: where the last time a read found nothing, whoever else can run
// goes first (`reads`), and what is read may have come by then.
//
// A number may come to mean something else behind our back (a raw close in a library, a stale
// duplicate). fd_forget() is called by every hook that can know; as a net under that, a thread that
// has waited for a second has its descriptors asked once, those of many threads with one poll(2). A
// miss costs little more than that second (of a TCP socket that nobody else has, ten of them) and a
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

struct alignas(64) FdState {  // a cache line
    FdWait* waiters;
    uint64_t timeout[2];  // SO_RCVTIMEO, SO_SNDTIMEO in ns; 0: none. Valid if timeouts_known
    uint32_t generation;  // counts what the number has meant; travels in the epoll event
    uint32_t mode_epoch;  // when `nonblocking` was asked
    int reader;           // 1 + the number at which others read what is written here; 0: unknown
    uint32_t fork_epoch;  // when the descriptor came into being
    uint32_t settled;     // when it was found to be a settled one
    FdKind kind;
    bool nonblocking;  // O_NONBLOCK, the program's own
    bool timeouts_known;
    bool registered;
    bool drained[2];
    bool announced;  // an event said "readable" and no accept(2) has been made since
    bool sticky;
    bool listening;  // accept(2) is allowed on it
    bool tcp;        // a TCP stream
    bool drains;     // a short read leaves nothing: TCP, and pipes
    bool ours;       // made in this process by a call we saw: other processes cannot have it
    bool own;        // the library's, not the program's
    bool duplicated;
    bool cached;          // a file whose reads can be asked for what lies in the page cache
    bool lingers;         // close(2) waits (SO_LINGER, socket(7))
    bool portions;        // a read may want more than something: SO_RCVLOWAT, and terminals
    bool announces;       // a ring of io_uring that poll(2) is told of
    uint8_t reads;        // with success, since a wait or one that should have found nothing
    uint8_t usual_reads;  // before one found nothing, the last time
};
static_assert(sizeof(FdState) == 64);

struct FdTable {
    static constexpr unsigned size = 1U << 20;  // fs.nr_open's default: the most a process may have
    FdState* states = nullptr;
    unsigned numbers_used = 0;  // no number from here on was ever written to the table
    uint32_t fork_epoch = 1;
    uint32_t settled = 1;  // counts whatever may unsettle any descriptor
    // There is somebody who can close descriptors and make others unseen: a ring of io_uring, or a
    // kernel thread that is not ours.
    bool numbers_may_change = false;
};
extern FdTable fd_table;

// Which descriptors this process has made, alone, while the library is dormant: a server's listener
// is older than its first thread. From the first one on the table knows.
struct EarlyDescriptors {
    static constexpr unsigned most = 65536;
    uint64_t words[most / 64];
    unsigned words_used;
};
extern EarlyDescriptors early;

inline void fd_note_early(int fd, bool ours) {
    auto number = static_cast<unsigned>(fd);
    if (number >= EarlyDescriptors::most || fd_table.states != nullptr) return;
    unsigned word = number / 64;
    uint64_t bit = uint64_t{1} << (number % 64);
    if (!ours) {
        early.words[word] &= ~bit;
        return;
    }
    if (word >= early.words_used) early.words_used = word + 1;
    early.words[word] |= bit;
}

// The state of a descriptor number; null for a number beyond the table (then: natively).
inline FdState* fd_state(int fd) {
    auto number = static_cast<unsigned>(fd);
    if (number >= FdTable::size) return nullptr;
    if (number >= fd_table.numbers_used) fd_table.numbers_used = number + 1;
    return &fd_table.states[number];
}

// A TCP socket that blocks, without a time-out, and that no other process has: which is what nearly
// all waits are for, and all that they need to ask about it. Once found out it stays so until
// something is said that may change it.
inline bool fd_settled(const FdState* s) { return s->settled == fd_table.settled; }
void fd_settle(FdState* state);

// Whether a read will find nothing, as far as the last ones can tell.
inline bool fd_probably_empty(const FdState* s) {
    return s->reads != 0 && s->reads == s->usual_reads && !s->listening;
}
inline void fd_note_attempt(FdState* s, Direction direction, bool found_nothing) {
    if (direction == out) return;
    if (found_nothing) s->usual_reads = s->reads;
    s->reads = found_nothing ? 0 : static_cast<uint8_t>(s->reads + 1);
}

// Fills in `kind`, and `nonblocking` if it may have changed. errno of the failure or 0.
int fd_learn(int fd, FdState* state);

// The number is about to mean something else, or has just begun to. Waiters are woken: they find
// out.
void fd_forget(int fd);
void fd_forget_range(unsigned first, unsigned last);  // but the library's own
// The number was made by socket(2), accept(2), pipe(2) ... with these properties.
FdState* fd_created(int fd, FdKind kind, bool nonblocking);
// `to` now shares the open file description of `from` (dup(2)).
void fd_duplicated(int from, int to);
// O_NONBLOCK is to be asked again: another process may have changed it.
void fd_doubt_mode(FdState* state);
// What is written to `writer` is read from `reader`. May be called while the library is dormant.
void fd_paired(int writer, int reader);
// Something was written: wakes who waits to read it, if that is known.
void fd_wake_reader(int reader);
inline void fd_written(const FdState* s) {
    if (s->reader != 0) fd_wake_reader(s->reader - 1);
}
// Wakes all who wait for `fd`: something happened that no event announces.
void fd_wake(int fd);
// O_NONBLOCK was set or cleared. Where others may share the description, all is asked anew.
void fd_mode_changed(int fd, bool nonblocking);
// A pipe's writing end was set to packets (O_DIRECT in pipe(2)): a short read is one of them.
void fd_writes_packets(int writer);
// SO_RCVTIMEO or SO_SNDTIMEO in ns, 0 for none; and: setsockopt(2) changed one.
uint64_t fd_timeout(int fd, FdState* state, Direction direction);
void fd_timeouts_changed(int fd);
void fd_timeout_has_passed(int fd, Direction direction);  // what getsockopt(2) tells as none
// fork(2) was called, or descriptors were sent away: from now on our descriptions may be shared.
// May be called while the library is dormant.
void fd_forked();
// Whether another process may hold the description too.
inline bool fd_shared(const FdState* s) { return !s->ours || s->fork_epoch != fd_table.fork_epoch; }

// Parks the caller until something happened to `fd` in one of `events`. `ready` may be spurious,
// and is also returned at once for what cannot be waited for: the caller looks again.
Wake wait_fd(int fd, uint32_t events, sys::Deadline deadline = sys::never);

// Parks the caller until something happened to one of `count` descriptors; `waits` have fd and
// events filled in (negative fds are ignored). To be called after fd_watch() on each of them and a
// fruitless poll(2), in this order.
Wake wait_fds(FdWait* waits, unsigned count, sys::Deadline deadline);

// Registers a descriptor, if it is not yet. False if it cannot be waited for.
bool fd_watch(int fd);

// Takes a descriptor out of our set, until somebody waits for it again; who does so looks again.
// False if it was not in it. And the same for all that are epoll sets of the program's.
bool fd_unwatch(int fd);
bool fd_unwatch_sets();

// For the loop: fetches what fd_event() will touch, first for an event some way ahead, then, as
// this one's descriptor has come, for one that is nearer.
void fd_prefetch(const epoll_event& far, const epoll_event& near);

// For the loop: an event, as epoll_wait(2) returned it; and the one-second check.
void fd_event(const epoll_event& event);
sys::Deadline fd_next_check();
void fd_check_young();

const char* fd_table_start();
void fd_table_abandon();

}  // namespace green
