// Whether a program serves several connections at once by itself, so that no accept mode is needed.
//
// Nobody says of a program what it is, and an accept mode would take connections away from one that
// has an event loop or threads. What it does tells:
//
//  - it waits for its listener and for the connection that it accepted last in one call (poll,
//    select, one epoll set): an event loop. One connection after another means to wait for only one
//    of the two at a time.
//  - it makes a thread and comes back for the next connection before the last one is closed. (One
//    that makes a thread and waits for it, as libcurl does for a name, serves one at a time.)
//  - it makes a process between two accepts and does not wait for its end (a server that starts a
//    CGI program does). That is told to those who ask (check, auto): an accept mode is of no use
//    then, but does no harm.
//
// The first two end the accept mode as soon as they are seen, with a word on stderr. To those who
// ask, any thread that is made between two accepts is a sign.
#pragma once

#include <poll.h>
#include <sys/select.h>

#include "hooks/accept_modes.h"

namespace green {

// A connection was accepted, natively or not.
void shape_accepted(int listener, int connection);

// What a call is about to wait for, or adds to an epoll set.
void shape_sees_poll(const pollfd* fds, nfds_t count);
void shape_sees_select(int count, const fd_set* r, const fd_set* w);
void shape_sees_member(int set, int fd);

void shape_sees_thread();
void shape_comes_back(int fd);  // the caller accepts from it, or waits for it

// The flow that accepted last has made a thread, and may be about to come back.
bool shape_is_in_doubt();
void shape_sees_fork();
void shape_sees_burial();  // of a child, which was waited for

// Of the intervals between two accepts, how many made a process that nobody waited for.
unsigned shape_forks();
extern const char shape_makes_processes[];

// In the child after a fork.
void shape_forget();

}  // namespace green
