// A worker: one of the N processes of `green --workers N`, which share the program's listeners.
//
// bind(2), listen(2) and accept(2) do here what the program would have to do to be started N times
// for one address. The supervisor (scripts/green-workers) keeps a list of the listeners and is
// asked over an abstract Unix socket, one message and one answer on a connection of its own: a
// program may close every descriptor that it does not know, change its root or its user in between.
//
//   bind     TCP and UDP sockets get SO_REUSEPORT, after a bind that would have succeeded natively:
//            an address that another program has stays EADDRINUSE. The workers after the first set
//            it before, once the supervisor knows the address as one of theirs. TCP port 0 becomes
//            the port that the first worker was given. What SO_REUSEPORT cannot share (Unix
//            sockets) is one socket for all: the descriptor is replaced by the first worker's.
//   listen   is made by the supervisor, on a duplicate that it keeps. So the queue of a worker that
//            is killed is not lost: the one that follows it is given that very listener.
//   accept   takes nothing any more once the supervisor has said so, in a page of memory that it
//            shares with the worker: the successor has the same listener by then.
//   unlink   leaves a Unix listener of ours where it is: it is the other workers' too.
//
// All of it is active while the library is dormant. Without an answer the call is the plain one.

#include "hooks/worker.h"

#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "hooks/wait.h"

namespace green {

const char* worker_channel = "";
unsigned worker_listeners = 0;

namespace {

enum What : uint32_t { hello, may_share, bound, port_for, listens, closes, unlinks };

// The messages, as scripts/green-workers unpacks them.
struct Request {
    uint32_t what;
    uint32_t worker;
    char token[32];
    int32_t backlog;
    uint32_t type;  // SOCK_STREAM ...
    uint32_t size;  // of the address
    unsigned char address[128];
};
struct Answer {
    int32_t value;  // a negated errno, or what was asked
};

struct Page {
    uint32_t retired;    // the supervisor's: take no more connections
    uint32_t accepting;  // ours: calls of accept(2) under way
    uint32_t free_port;  // the supervisor's: another worker's port 0 waits to be shared
};

struct Channel {
    sockaddr_un address;
    socklen_t size;
    uint32_t worker;
    char token[32];
};

constexpr unsigned most_listeners = 1024;
struct {
    int fd;
    long process;
} listeners[most_listeners];

// "name:number:token"
const Channel* channel() {
    static Channel c;
    if (c.size != 0) return &c;
    const char* number = strchr(worker_channel, ':');
    const char* token = number == nullptr ? nullptr : strchr(number + 1, ':');
    auto length = static_cast<size_t>(number == nullptr ? 0 : number - worker_channel);
    if (token == nullptr || length == 0 || length > sizeof c.address.sun_path - 2 ||
        strlen(token + 1) != sizeof c.token) {
        worker_channel = "";
        return nullptr;
    }
    c.address.sun_family = AF_UNIX;
    memcpy(c.address.sun_path + 1, worker_channel, length);
    c.worker = static_cast<uint32_t>(strtoul(number + 1, nullptr, 10));
    memcpy(c.token, token + 1, sizeof c.token);
    c.size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + length);
    return &c;
}

template <class Call>
long until_uninterrupted(Call call) {
    long r;
    do {
        r = call();
    } while (r == -EINTR);
    return r;
}

union Control {
    cmsghdr header;
    char bytes[CMSG_SPACE(sizeof(int))];
};

long send_request(int to, Request* request, int fd) {
    iovec v = {request, sizeof *request};
    Control control = {};
    msghdr m = {};
    m.msg_iov = &v;
    m.msg_iovlen = 1;
    if (fd >= 0) {
        control.header = {CMSG_LEN(sizeof fd), SOL_SOCKET, SCM_RIGHTS};
        memcpy(CMSG_DATA(&control.header), &fd, sizeof fd);
        m.msg_control = &control;
        m.msg_controllen = sizeof control;
    }
    return until_uninterrupted([&] { return sys::invoke(SYS_sendmsg, to, &m, MSG_NOSIGNAL); });
}

long receive_answer(int from, Answer* answer, int* fd) {
    iovec v = {answer, sizeof *answer};
    Control control = {};
    msghdr m = {};
    m.msg_iov = &v;
    m.msg_iovlen = 1;
    m.msg_control = &control;
    m.msg_controllen = sizeof control;
    long r =
        until_uninterrupted([&] { return sys::invoke(SYS_recvmsg, from, &m, MSG_CMSG_CLOEXEC); });
    *fd = -1;
    if (r > 0 && m.msg_controllen >= CMSG_LEN(sizeof(int))) {
        memcpy(fd, CMSG_DATA(&control.header), sizeof(int));
    }
    return r;
}

// What the supervisor says; a negative number if it says nothing. `got`: a descriptor that came.
int ask(What what, Request* request, int fd = -1, int* got = nullptr) {
    const Channel* c = channel();
    if (c == nullptr) return -1;
    request->what = what;
    request->worker = c->worker;
    memcpy(request->token, c->token, sizeof request->token);
    long s = sys::invoke(SYS_socket, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (s < 0) return -1;
    constexpr timeval patience = {10, 0};
    sys::invoke(SYS_setsockopt, s, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    sys::invoke(SYS_setsockopt, s, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    Answer answer = {-1};
    int received = -1;
    long r = until_uninterrupted([&] { return sys::invoke(SYS_connect, s, &c->address, c->size); });
    if (r == 0) r = send_request(static_cast<int>(s), request, fd);
    if (r > 0) r = receive_answer(static_cast<int>(s), &answer, &received);
    sys::invoke(SYS_close, s);
    if (got != nullptr) {
        *got = received;
    } else if (received >= 0) {
        sys::invoke(SYS_close, received);
    }
    return r == sizeof answer ? answer.value : -1;
}

Page* page() {
    static Page* mapped = nullptr;
    static bool tried = false;
    if (tried) return mapped;
    tried = true;
    Request request = {};
    int fd = -1;
    if (ask(hello, &request, -1, &fd) < 0 || fd < 0) return nullptr;
    long at =
        sys::invoke(SYS_mmap, nullptr, sizeof(Page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    sys::invoke(SYS_close, fd);
    if (!sys::failed(at)) mapped = reinterpret_cast<Page*>(at);
    return mapped;
}

long share_port(int fd) {
    int one = 1;
    return sys::invoke(SYS_setsockopt, fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
}

void remember(int fd) {
    long process = sys::invoke(SYS_getpid);
    for (unsigned i = 0; i < worker_listeners; ++i) {
        if (listeners[i].fd == fd && listeners[i].process == process) return;
    }
    if (worker_listeners < most_listeners) listeners[worker_listeners++] = {fd, process};
}

// Other workers have the description, too.
void note_shared(int fd) {
    FdState* s = self == nullptr ? nullptr : fd_state(fd);
    if (s != nullptr) s->ours = false;
    fd_note_early(fd, false);
}

// The number `fd` becomes the listener `got`, with the flags that the program has set so far.
void replace(int fd, int got) {
    bool cloexec = (sys::invoke(SYS_fcntl, fd, F_GETFD) & FD_CLOEXEC) != 0;
    long flags = sys::invoke(SYS_fcntl, fd, F_GETFL);
    sys::invoke(SYS_fcntl, got, F_SETFL, flags);
    if (self != nullptr) fd_forget(fd);
    sys::invoke(SYS_dup3, got, fd, cloexec ? O_CLOEXEC : 0);
    sys::invoke(SYS_close, got);
    if (self == nullptr) return;
    // Whoever had it before us takes nothing from it any more: it is as good as made here.
    if (FdState* s = fd_created(fd, FdKind::socket, (flags & O_NONBLOCK) != 0)) {
        s->tcp = sys::socket_option(fd, SO_DOMAIN) != AF_UNIX;
        s->duplicated = !s->tcp;
        s->ours = s->tcp;
    }
}

// A path in the file system, made absolute: the supervisor's directory is another one.
bool absolute(int directory, const char* path, unsigned char* to, size_t room) {
    size_t length = strlen(path), before = 0;
    if (path[0] != '/') {
        long r;
        if (directory == AT_FDCWD) {
            r = sys::invoke(SYS_getcwd, to, room) - 1;
        } else {
            char link[32];
            snprintf(link, sizeof link, "/proc/self/fd/%d", directory);
            r = sys::invoke(SYS_readlinkat, AT_FDCWD, link, to, room);
        }
        if (r <= 0 || static_cast<size_t>(r) >= room) return false;
        before = static_cast<size_t>(r);
        to[before++] = '/';
    }
    if (before + length >= room) return false;
    memcpy(to + before, path, length + 1);
    return true;
}

long bind_unix(int fd, const sockaddr* address, socklen_t size) {
    Request request = {};
    auto* a = reinterpret_cast<const sockaddr_un*>(address);
    bool chosen_by_kernel = size <= offsetof(sockaddr_un, sun_path);
    if (chosen_by_kernel || size > sizeof(sockaddr_un)) {
        return sys::invoke(SYS_bind, fd, address, size);
    }
    request.type = static_cast<uint32_t>(sys::socket_option(fd, SO_TYPE));
    request.size = size;
    memcpy(request.address, address, size);
    if (a->sun_path[0] != '\0') {
        char path[sizeof a->sun_path + 1] = {};
        memcpy(path, a->sun_path, size - offsetof(sockaddr_un, sun_path));
        constexpr size_t at = offsetof(sockaddr_un, sun_path);
        if (absolute(AT_FDCWD, path, request.address + at, sizeof request.address - at)) {
            request.size = sizeof request.address;
        }
    }
    int got = -1;
    bool stream = request.type == SOCK_STREAM || request.type == SOCK_SEQPACKET;
    if (!stream || ask(may_share, &request, -1, &got) < 0 || got < 0) {
        return sys::invoke(SYS_bind, fd, address, size);
    }
    replace(fd, got);
    note_shared(fd);
    remember(fd);
    return 0;
}

// An IPv4 or IPv6 address; both have the port at the same place.
long bind_inet(int fd, const sockaddr* address, socklen_t size) {
    Request request = {};
    request.type = static_cast<uint32_t>(sys::socket_option(fd, SO_TYPE));
    bool stream = request.type == SOCK_STREAM;
    bool fits = size >= sizeof(sockaddr_in) && size <= sizeof request.address;
    if (!fits || (!stream && request.type != SOCK_DGRAM)) {
        return sys::invoke(SYS_bind, fd, address, size);
    }
    request.size = size;
    memcpy(request.address, address, size);
    auto* a = reinterpret_cast<sockaddr_in*>(request.address);
    if (a->sin_port == 0) {
        const Page* p = stream ? page() : nullptr;
        int port = p != nullptr && p->free_port != 0 ? ask(port_for, &request) : 0;
        if (port > 0) {
            a->sin_port = htons(static_cast<uint16_t>(port));
            share_port(fd);
            if (sys::invoke(SYS_bind, fd, a, size) == 0) return 0;
        }
        return sys::invoke(SYS_bind, fd, address, size);
    }
    int shared = ask(may_share, &request);
    if (shared > 0) share_port(fd);
    long r = sys::invoke(SYS_bind, fd, address, size);
    if (shared == 0 && r == 0 && share_port(fd) == 0) ask(bound, &request);
    return r;
}

long worker_bind(int fd, const sockaddr* address, socklen_t size) {
    if (address != nullptr && size > sizeof address->sa_family) {
        if (address->sa_family == AF_UNIX) return bind_unix(fd, address, size);
        bool inet = address->sa_family == AF_INET || address->sa_family == AF_INET6;
        if (inet) return bind_inet(fd, address, size);
    }
    return sys::invoke(SYS_bind, fd, address, size);
}

// A Unix listener's path stays while other workers listen there.
bool keeps_path(int directory, const char* path) {
    struct stat st;
    if (path == nullptr ||
        sys::invoke(SYS_newfstatat, directory, path, &st, AT_SYMLINK_NOFOLLOW) != 0 ||
        !S_ISSOCK(st.st_mode)) {
        return false;
    }
    Request request = {};
    request.size = sizeof request.address;
    return absolute(directory, path, request.address, sizeof request.address) &&
           ask(unlinks, &request) > 0;
}

}  // namespace

long worker_listen(int fd, int backlog) {
    Request request = {};
    request.type = static_cast<uint32_t>(sys::socket_option(fd, SO_TYPE));
    request.size = sizeof request.address;
    request.backlog = backlog;
    long r = sys::invoke(SYS_getsockname, fd, request.address, &request.size);
    auto* a = reinterpret_cast<const sockaddr_in*>(request.address);
    bool inet = a->sin_family == AF_INET || a->sin_family == AF_INET6;
    bool bound_by_program =
        inet ? a->sin_port != 0
             : a->sin_family == AF_UNIX && request.size > offsetof(sockaddr_un, sun_path);
    if (r < 0 || !bound_by_program) return sys::invoke(SYS_listen, fd, backlog);
    if (inet) share_port(fd);  // a port that the kernel has chosen
    page();
    int got = -1;
    int answer = ask(listens, &request, fd, &got);
    if (answer == -1) return sys::invoke(SYS_listen, fd, backlog);
    if (answer < 0) return answer + 1;  // the supervisor's errors are one lower
    if (got >= 0) replace(fd, got);
    if (!inet) note_shared(fd);
    remember(fd);
    return 0;
}

long accept_plainly(int fd, sockaddr* address, socklen_t* size, int flags) {
    return sys::invoke(SYS_accept4, fd, address, size, flags);
}

long worker_accept(int fd, sockaddr* address, socklen_t* size, int flags, AcceptCall call) {
    Page* p = page();
    if (p == nullptr) return call(fd, address, size, flags);
    // The supervisor sets the one and then waits for the other: no call is under way afterwards
    // that has not seen it.
    __atomic_fetch_add(&p->accepting, 1, __ATOMIC_SEQ_CST);
    bool retired = __atomic_load_n(&p->retired, __ATOMIC_SEQ_CST) != 0;
    long r = retired ? -EAGAIN : call(fd, address, size, flags);
    __atomic_fetch_sub(&p->accepting, 1, __ATOMIC_SEQ_CST);
    return r;
}

// A program that left its listener blocking must not wait here for ever, as it may have connections
// to look after in the same thread. It hears of one that was aborted, which can always happen.
long accept_natively(int fd, sockaddr* address, socklen_t* size, int flags) {
    if (!is_worker()) return invoke_point(SYS_accept4, fd, address, size, flags);
    long r = worker_accept(fd, address, size, flags, accept_plainly);
    Page* p = page();
    if (r != -EAGAIN || p == nullptr || p->retired == 0) return r;
    if ((sys::invoke(SYS_fcntl, fd, F_GETFL) & O_NONBLOCK) != 0) return r;
    constexpr timespec tenth = {0, 100 * sys::millisecond};
    sys::invoke(SYS_nanosleep, &tenth, nullptr);
    return -ECONNABORTED;
}

void worker_closes(unsigned first, unsigned last) {
    for (unsigned i = 0; i < worker_listeners;) {
        auto fd = static_cast<unsigned>(listeners[i].fd);
        // A forked child's close, or one in a child that borrows this memory, is not the worker's.
        bool closes_it = fd >= first && fd <= last;
        if (!closes_it || listeners[i].process != sys::invoke(SYS_getpid)) {
            ++i;
            continue;
        }
        Request request = {};
        ask(closes, &request, listeners[i].fd);
        listeners[i] = listeners[--worker_listeners];
    }
}

}  // namespace green

using namespace green;

HOOK(int, bind, (int fd, const sockaddr* address, socklen_t size), interposed) {
    if (!is_worker()) return static_cast<int>(result(sys::invoke(SYS_bind, fd, address, size)));
    return static_cast<int>(result(worker_bind(fd, address, size)));
}

HOOK(int, unlinkat, (int directory, const char* path, int flags), interposed) {
    if (is_worker() && flags == 0 && keeps_path(directory, path)) return 0;
    return static_cast<int>(result(sys::invoke(SYS_unlinkat, directory, path, flags)));
}

HOOK(int, unlink, (const char* path), interposed) { return hook_unlinkat(AT_FDCWD, path, 0); }

HOOK(int, remove, (const char* path), interposed) {
    if (is_worker() && keeps_path(AT_FDCWD, path)) return 0;
    long r = sys::invoke(SYS_unlinkat, AT_FDCWD, path, 0);
    if (r == -EISDIR) r = sys::invoke(SYS_unlinkat, AT_FDCWD, path, AT_REMOVEDIR);
    return static_cast<int>(result(r));
}
