// GREEN_ACCEPT=check: serves natively, and tells what an accept mode would gain, and which one
// fits.
//
// A copy of the stack (clone) is safe if what the program keeps beside its stack stays as it is
// while a connection is served. So each time accept(2) returns, the memory that the program can
// reach is compared with what it was the last time:
//
//     stack above accept ----+--> live heap blocks --> ... --> compared: contents
//     writable data of the --+
//     program, its libraries ----------------------------> compared: words
//
// Left out are libc and its family, which are made for being interrupted at a wait. Integers that
// only ever grow a little are counters, which any number of flows may count. A heap block that the
// loop carries and a connection changes, or leaves behind, or a variable that a connection sets,
// makes a copy of the stack unsafe: two connections would use it at the same time.
//
// GREEN_ACCEPT=auto does this for the first connections and then chooses.
#pragma once

#include <stddef.h>

namespace green {

// A socket has begun to listen: there will be a report, even if nobody connects.
void check_listens();

// A connection was accepted; `frame` is where the stack of the program's own begins.
void check_accepted(int connection, const void* frame);

// The program is not one for an accept mode: it `why`.
void check_needs_no_mode(const char* why);

// Enough was seen for a choice: none (and why), clone, or else fork.
bool check_is_done();
const char* check_finds_no_need();
bool check_finds_clone_safe();

// The reason for it, in words.
const char* check_reason();

// At the end of the process, and on a diagnostic signal.
void check_report();

// What stands for a signal's default action, so that a program which ends by it tells its report:
// an interpreter has handlers at first, and gives itself the default action only to end by it.
void (*check_handler_for(int signal))(int);
bool is_check_handler(const void* handler);

// After a fork, in the child.
void check_forget();

}  // namespace green
