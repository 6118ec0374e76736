// Accept modes (GREEN_ACCEPT): programs that serve one connection after another serve many at once.
//
// Such a program accepts, serves, closes and accepts again. While it waits in the middle of
// serving, nobody accepts. In a mode other than off it leaves a copy of itself behind each time
// accept(2) returns, which takes over if a connection is waiting and nobody is there for it:
//
//     accept --> serve (parked) ............................ --> accept: somebody waits there: ends
//       \ copy
//        '----------- a connection waits --> accept --> serve (parked) .... --> accept: waits
//                                              \ copy
//                                               '---- ...
//
// Who comes back and finds nobody waits for the next connection, as natively: connections that come
// one after another are all served by one flow, which never notices. A wait in poll, select or
// epoll_wait for the listener counts as coming back to accept.
//
//  - clone: the copy is one of the stack (runtime/slice.h), run as another green thread. All else
//    is shared: descriptors, heap, global and thread-local variables.
//  - fork: the copy is a process (hooks/accept_fork.cpp).
//  - check: nothing is copied; what would be gained is told (hooks/accept_check.cpp).
//  - automatic: the first connections are served natively, then it is clone or fork.
//
// A flow that ends like this closes nothing and runs no destructors: the program had come to the
// end of the connection by itself, so what it left open it meant to. exit(3) in any flow ends the
// program, pthread_exit(3) ends the flow. Flows switch only where they wait, never by preemption.
#pragma once

#include <sys/socket.h>

#include "hooks/worker.h"
#include "runtime/fd_table.h"

namespace green {

enum class AcceptMode : uint8_t { off, clone, fork, check, automatic };
extern AcceptMode accept_mode;

bool is_active_mode();  // clone or fork

// The program is not one for an accept mode (hooks/accept_shape.h): the mode is off from now on,
// and stderr says why: the program `why`.
void accept_mode_is_not_needed(const char* why);

// A socket has begun to listen.
void flow_listens(int fd);

// After epoll_ctl(2) has added a descriptor to a set.
void flow_adds_member(int set, int fd, bool edge);

// Connections that are served at once; what comes beyond waits in the listener's queue.
extern unsigned max_flows;

// accept4(2), which `call` is when there is nothing special about it.
long accept_in_mode(int fd, sockaddr* address, socklen_t* size, int flags, AcceptCall call);

// Before accept(2), poll(2), select(2) or epoll_wait(2) asks: what a copy was told to take is the
// copy's, or it would take a later one, which the caller waits for.
void settle_connections();

// A poll(2), select(2) or epoll_wait(2) found nothing ready and is about to wait. True: it waits
// for a listener where another flow waits already, and must call end_flow().
bool comes_back_in_vain(FdWait* waits, unsigned count);
[[noreturn]] void end_flow();

// poll(2), select(2) and epoll_wait(2) tell of one listener at a time, in turn, and its connection
// is kept for the caller. Natively all that they tell of stays there until it is accepted. Here a
// copy would serve the second one while the caller serves the first, and the caller would wait for
// another in accept(2), with nobody left to watch the other listeners.
class Turn {
  public:
    void sees_ready(int fd);
    bool passes_over(int fd) const;  // once all were seen
    void promise(int fd);            // the one that is told of, or an epoll set

    int told = -1;
};

// Whether a listener was added to an epoll set.
bool watches_listener(int set);

// Two connections were served at once by copies of the stack: all of the program's memory is
// theirs.
bool connections_have_shared_memory();

// A thread ends by pthread_exit(3) or cancellation. True if it is a flow and not the last one: what
// belongs to the program's one thread is still needed.
bool flow_ends(Thread* thread);

// In the child after a fork of the program's own.
void accept_modes_after_fork_in_child();

}  // namespace green
