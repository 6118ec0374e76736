// The loop: libev, on a stack of its own, with our epoll set inside its one blocking call.
//
// libev runs everything that is a callback (name resolution, helpers that finish, signals); the
// threads' own waits, which are nearly all there is, are descriptors in an edge-triggered epoll set
// and deadlines in a heap. libev is a shared library, so its call of epoll_wait(2) reaches our
// hook, which hands it to loop_poll(): that waits, in ONE system call, for our set (libev's own
// epoll descriptor is a member of it) until the earlier of libev's time-out and our next deadline,
// to the nanosecond. Nesting the two sets the other way round would cost a second epoll_wait per
// batch.
//
//     loop thread:  ev_run -> epoll_wait -> loop_poll -> epoll_pwait2 -> unpark(...) ...
//                      then the first runnable thread; back here when nobody is runnable
//
// While nobody has asked for libev (loop_libev) there is nothing that its turn could run; it took
// half of the instructions of a request to a server with one connection, and is left out.
//
// It has no thread block of its own while it runs, but that of the thread which left for it: a wait
// that no other thread comes between changes the FS base not at all. `self` is null there
// meanwhile: whatever the loop or libev calls is the plain system call.
#pragma once

#include <sys/epoll.h>

#include "runtime/sys.h"

struct ev_loop;

namespace green {

struct Thread;

// Loads libev, once: null, or a sentence, why it cannot be used. Its names stay its own: were it
// linked with this library, they would come before those of any libev that the program loads later,
// inside an extension (Ruby's nio4r). Not by RTLD_DEEPBIND, though: what it calls must be our
// hooks. Calls malloc; not before main, as libc is not ready when our constructor runs.
const char* loop_load();

// Makes the loop and the thread it runs on; null without memory or descriptors. Calls malloc.
Thread* loop_start();

// After fork(2), in the child: the descriptors of the loop are the parent's; they are closed here.
void loop_abandon();

// What epoll_wait(2) must do when libev calls it: to be called by whatever stands in for that
// function in the process. Returns the number of libev's own events.
int loop_poll(int libev_fd, epoll_event* events, int max, int timeout_ms);

// Whether the caller runs in the loop's context.
bool in_loop();

// epoll_ctl(2) on our set; a negated errno on failure.
long loop_epoll_ctl(int operation, int fd, epoll_event* event);

// Whether a descriptor of the program's is an epoll set.
bool loop_is_epoll_set(int fd);

// CLOCK_MONOTONIC as of the last poll.
uint64_t loop_time();

struct ev_loop* loop_libev();

// True while libev makes its own epoll set, which then is to be moved out of the program's way.
bool loop_is_being_made();

// The highest number of ours, or -1.
int loop_highest_fd();

// Makes the loop's wait return soon. From anywhere: a signal handler, another kernel thread.
void loop_wake();

// Called in the loop's context after loop_wake(). May be null.
extern void (*loop_on_wake)();

// Called in the loop's context, once, when nothing has come for a second and there is no deadline
// to wait for. May be null.
extern void (*loop_on_stall)();

// Whether the kernel has something to tell. From a signal handler too.
bool loop_has_events();

// Whether a descriptor number is one of the library's own, which the program must not meet.
bool loop_owns_fd(int fd);

// Numbers from here on may be ours; INT_MAX: none ever was.
int own_numbers_begin();

// A descriptor that the library makes and threads wait for, out of the program's way: its new
// number, or a negated errno. In the child of a fork(2) it is closed at once.
int own_fd_make(long made);
void own_fd_close(int fd);

// One for a single wait.
class OwnFd {
  public:
    explicit OwnFd(long made) : fd_(own_fd_make(made)) {}
    ~OwnFd() { own_fd_close(fd_); }
    OwnFd(const OwnFd&) = delete;
    OwnFd& operator=(const OwnFd&) = delete;
    int number() const { return fd_; }  // negative: there is none

  private:
    int fd_;
};

// Moves a descriptor of ours to a high number, close-on-exec, out of the program's way. Returns the
// new number, or a negated errno, with the old number closed.
int move_fd_high(int fd);

}  // namespace green
