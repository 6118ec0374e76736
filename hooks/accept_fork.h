// GREEN_ACCEPT=fork: the copy that takes over is a process.
//
// When accept(2) returns, the program forks a spare: a process that stands where the program stands
// now, and sleeps. If a connection has to wait, the spare is told to go: it accepts, leaves a spare
// of its own behind, and serves. It ends when it comes back to accept. The program itself never
// does anything but what it would do natively, and each connection that it serves alone it serves
// itself.
//
//     program --- accept --- serve ............... accept --- ...   kills the unused spare
//                   \ spare
//                    '--- go --- accept --- serve --- (accept: ends)
//                                  \ spare
//                                   '--- ...
//
// Nobody sees these processes: they are the program's children, also the spare's spare
// (CLONE_PARENT), but with no exit signal, so there is no SIGCHLD and wait(2) does not find them
// (__WCLONE would). They end when the program ends, as its connections would (PR_SET_PDEATHSIG).
#pragma once

namespace green {

struct Thread;

// Leaves a spare behind, which does not keep `connection`. True: it could be made, or this is it,
// and its turn has come (*copied). `listener` is what the copy is to accept from.
bool fork_leave_spare(int listener, int connection, bool* copied);

// For the program itself: whether a spare is there to go, and its going.
bool fork_may_go(unsigned most);
void fork_go();

// Waits until who was told to go has its connection: the program, which asks what is ready, must
// not be told of that one, and then wait in accept(2) for another.
void fork_settle();

// The program is back at accept: nobody else is to take the next connection.
void fork_drop_spare();

// Whether this process is one that serves a single connection, and its end.
bool fork_is_copy();
[[noreturn]] void fork_end();

// The same, and it is gone when this returns. At exit(3), so that nobody inherits it; and when
// there will be no other, because as long as it has the connection, too, an epoll set keeps that
// one although the program has closed it.
void fork_end_spare();

// After another fork, in the child.
void fork_forget();

// Set by accept_modes.cpp: something about the spares has changed.
extern void (*fork_on_change)();

}  // namespace green
