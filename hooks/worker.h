// A worker of `green --workers N`: hooks/worker.cpp. In any other process is_worker() is false and
// all calls are the plain ones.
#pragma once

#include <sys/socket.h>

namespace green {

// GREEN_WORKER, set by shim/: how to reach the supervisor. Empty: this is no worker.
extern const char* worker_channel;
inline bool is_worker() { return worker_channel[0] != '\0'; }

// listen(2).
long worker_listen(int fd, int backlog);

// accept4(2), in one way or another.
using AcceptCall = long (*)(int, sockaddr*, socklen_t*, int);
long accept_plainly(int fd, sockaddr* address, socklen_t* size, int flags);

// A worker's. EAGAIN for one that is to take no more connections.
long worker_accept(int fd, sockaddr* address, socklen_t* size, int flags, AcceptCall call);

// accept4(2) in a process without green threads, a worker or not: nobody waits and asks again.
long accept_natively(int fd, sockaddr* address, socklen_t* size, int flags);

// Numbers are about to be closed, or to mean something else.
extern unsigned worker_listeners;
void worker_closes(unsigned first, unsigned last);
inline void worker_may_close(unsigned first, unsigned last) {
    if (__builtin_expect(worker_listeners != 0, 0)) worker_closes(first, last);
}
inline void worker_may_close(int fd) {
    worker_may_close(static_cast<unsigned>(fd), static_cast<unsigned>(fd));
}

}  // namespace green
