// The lines and what they carry: see resolver.h.
//
// Facts of c-ares 1.18 that matter here: with one try and one server a question ends with its
// time-out or its first answer; with ARES_FLAG_NOCHECKRESP every answer ends it, SERVFAIL too; an
// answer belongs to a question if its id and its question section are the same; a channel whose
// questions have all ended closes its socket, so each burst gets a source port of its own.

#include "runtime/resolver.h"

#include <ares.h>
#include <arpa/nameser.h>
#include <dlfcn.h>
#include <limits.h>
#include <netinet/in.h>
#include <resolv.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <new>

#include "runtime/fd_table.h"
#include "runtime/loop.h"
#include "runtime/parking_lot.h"
#include "runtime/scheduler.h"

namespace green {

struct DnsQuery {
    DnsQuery* next;
    DnsLine* line;
    DnsQuestion* askers;
    unsigned char* answer;
    size_t answer_size;
    uint64_t asked_at;
    uint64_t order;  // of its end, among all; 0: not yet
    int error;
    bool no_socket;
    bool held;  // by c-ares, which will call back
    uint32_t hash;
    size_t size;
    unsigned char bytes[];  // the question as it is sent
};

namespace {

constexpr size_t header_size = 12, largest = 65536;
constexpr size_t line_stack = size_t{128} << 10;
// Answers to so many questions fit into a socket's default receive buffer, were they to come all at
// once (212,992 bytes, of which a datagram of 1,200 bytes takes about 2,300).
constexpr int questions_per_line = 64;
// Who asks what was asked so recently waits for the same answer. No longer, because a packet may
// have been lost: glibc waits for at least a second before it sends another.
constexpr uint64_t shared_for = sys::second;

const char* problem = nullptr;
bool looked_for = false, loading = false;
DnsLine* lines = nullptr;
uint64_t ends = 0;
int lowest_fd = INT_MAX, highest_fd = -1;

struct {
    decltype(&::ares_library_init) library_init;
    decltype(&::ares_init_options) init_options;
    decltype(&::ares_destroy) destroy;
    decltype(&::ares_set_servers_ports) set_servers_ports;
    decltype(&::ares_set_socket_functions) set_socket_functions;
    decltype(&::ares_send) send;
    decltype(&::ares_timeout) timeout;
    decltype(&::ares_process_fd) process_fd;
    decltype(&::ares_cancel) cancel;
} cares;

}  // namespace

// In pages of its own, so that the room for a large answer costs nothing until it is used.
struct DnsLine {
    DnsLine* next;
    Thread* thread;
    DnsServer server;
    bool tcp;
    bool taken;  // by a conversation over TCP
    bool hang_up;
    unsigned seconds;
    int load;  // questions that have not ended

    ares_channel channel;
    bool configured_tcp;
    unsigned configured_seconds;
    DnsServer configured_server;
    DnsQuery* unsent;
    DnsQuery* sent;
    int fd;
    bool wants_write;
    int error;  // of the last system call that failed
    bool no_socket;

    size_t shown_size, shown_at;    // by TCP: what c-ares has not read yet ...
    size_t stream_size;             // ... and what of the next message has come
    unsigned char shown[2 + 1024];  // a length, a header and a question
    size_t received_size;           // the answer that c-ares is being shown
    alignas(8) unsigned char received[largest + 2];
};

namespace {

DnsLine* line_of(void* p) { return static_cast<DnsLine*>(p); }

bool same_server(const DnsServer& a, const DnsServer& b) {
    if (a.any.sa_family != b.any.sa_family) return false;
    if (a.any.sa_family == AF_INET) {
        return a.v4.sin_port == b.v4.sin_port && a.v4.sin_addr.s_addr == b.v4.sin_addr.s_addr;
    }
    return a.v6.sin6_port == b.v6.sin6_port && a.v6.sin6_scope_id == b.v6.sin6_scope_id &&
           memcmp(&a.v6.sin6_addr, &b.v6.sin6_addr, sizeof a.v6.sin6_addr) == 0;
}

// ---- messages -----------------------------------------------------------------------------------

size_t question_end(const unsigned char* m, size_t size) {
    size_t at = header_size;
    while (at < size && m[at] != 0) at += size_t{m[at]} + 1;
    constexpr size_t type_and_class = 4;
    at += 1 + type_and_class;
    return at <= size ? at : 0;
}

// As glibc compares them: names without case (RFC 1035, 2.3.3). An answer whose question cannot be
// read counts, too; what is made of it is for the asker to say.
bool same_question(const DnsQuery* q, const unsigned char* m, size_t size) {
    constexpr unsigned char one[] = {0, 1};
    constexpr size_t type_and_class = 4;
    char asked[MAXDNAME], answered[MAXDNAME];
    auto name_size = [](const unsigned char* from, size_t room, char* name) {
        return dn_expand(from, from + room, from + header_size, name, MAXDNAME);
    };
    if (memcmp(m + 4, one, sizeof one) != 0) return false;
    int there = name_size(m, size, answered), here = name_size(q->bytes, q->size, asked);
    if (there < 0 || header_size + static_cast<size_t>(there) + type_and_class > size) return true;
    return here >= 0 && strcasecmp(asked, answered) == 0 &&
           memcmp(m + header_size + there, q->bytes + header_size + here, type_and_class) == 0;
}

// Some servers refuse with a bare header, which glibc lets stand for any question of that id.
bool is_bare_refusal(const unsigned char* m, size_t size) {
    constexpr int servfail = 2, notimp = 4, refused = 5;
    int code = m[3] & 15;
    return size == header_size && m[4] == 0 && m[5] == 0 &&
           (code == servfail || code == notimp || code == refused);
}

// The question that a message answers. Over a connection of one's own the id says it; and nothing
// else does of one that is too short to be an answer, which for glibc is the end of the question.
DnsQuery* answered_by(DnsLine* line, const unsigned char* m, size_t size) {
    if (size < 2) return nullptr;
    bool only_id = line->tcp || size < header_size || is_bare_refusal(m, size);
    for (DnsQuery* q = line->sent; q != nullptr; q = q->next) {
        if (q->order == 0 && memcmp(q->bytes, m, 2) == 0 && (only_id || same_question(q, m, size)))
            return q;
    }
    return nullptr;
}

// What c-ares is shown of an answer: that it answers this question.
size_t show(const DnsQuery* q, unsigned char* to, size_t room) {
    size_t end = question_end(q->bytes, q->size);
    if (end == 0 || end > room) return 0;
    memcpy(to, q->bytes, end);
    constexpr unsigned char plain_answer[] = {0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0};
    memcpy(to + 2, plain_answer, sizeof plain_answer);
    return end;
}

uint32_t hash_of(const unsigned char* bytes, size_t size) {
    uint32_t hash = 2166136261U;
    for (size_t i = 2; i < size; ++i) hash = (hash ^ bytes[i]) * 16777619U;
    return hash;
}

// ---- c-ares' system calls -----------------------------------------------------------------------

int fails_with(DnsLine* line, long r) {
    errno = static_cast<int>(-r);
    if (r != -EAGAIN && r != -EINPROGRESS) line->error = errno;
    return -1;
}

ares_socket_t make_socket(int family, int type, int, void* data) {
    DnsLine* line = line_of(data);
    long fd = sys::invoke(SYS_socket, family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0) fd = move_fd_high(static_cast<int>(fd));
    if (fd >= 0 && fd_state(static_cast<int>(fd)) == nullptr) {
        sys::invoke(SYS_close, fd);
        fd = -EMFILE;
    }
    if (fd < 0) {
        line->no_socket = true;
        return fails_with(line, fd);
    }
    if (type == SOCK_DGRAM) {  // all that ICMP says is an answer, too: "no route" within no time
        constexpr int on = 1;
        if (family == AF_INET) {
            sys::invoke(SYS_setsockopt, fd, IPPROTO_IP, IP_RECVERR, &on, sizeof on);
        } else {
            sys::invoke(SYS_setsockopt, fd, IPPROTO_IPV6, IPV6_RECVERR, &on, sizeof on);
        }
    }
    FdState* s = fd_created(static_cast<int>(fd), FdKind::socket, true);
    // What is ready will be said when the descriptor is registered.
    s->drained[in] = s->drained[out] = true;
    if (fd < lowest_fd) lowest_fd = static_cast<int>(fd);
    if (fd > highest_fd) highest_fd = static_cast<int>(fd);
    return static_cast<int>(fd);
}

int close_socket(ares_socket_t fd, void*) {
    fd_forget(fd);
    sys::invoke(SYS_close, fd);
    return 0;
}

// The address that glibc knows: c-ares' own has no scope.
int connect_socket(ares_socket_t fd, const sockaddr*, ares_socklen_t, void* data) {
    DnsLine* line = line_of(data);
    bool v4 = line->server.any.sa_family == AF_INET;
    long r = sys::invoke(SYS_connect, fd, &line->server,
                         v4 ? sizeof(sockaddr_in) : sizeof(sockaddr_in6));
    return r < 0 ? fails_with(line, r) : 0;
}

ares_ssize_t send_message(ares_socket_t fd, const iovec* parts, int count, void* data) {
    DnsLine* line = line_of(data);
    msghdr message = {};
    message.msg_iov = const_cast<iovec*>(parts);
    message.msg_iovlen = static_cast<size_t>(count);
    for (int refusals = 0;;) {
        long r = sys::invoke(SYS_sendmsg, fd, &message, MSG_NOSIGNAL);
        // c-ares would take a full buffer for a dead server.
        if (r == -EAGAIN && !line->tcp) {
            park(Park::sleep, sys::after(sys::millisecond));
            continue;
        }
        // That is what became of an earlier datagram.
        if (r == -ECONNREFUSED && !line->tcp && refusals++ == 0) continue;
        if (r >= 0) return r;
        if (r == -EAGAIN) fd_state(fd)->drained[out] = true;
        return fails_with(line, r);
    }
}

long receive(DnsLine* line, int fd, void* to, size_t size) {
    long r = sys::invoke(SYS_recvfrom, fd, to, size, 0, nullptr, nullptr);
    fd_state(fd)->drained[in] = r == -EAGAIN;
    return r < 0 ? fails_with(line, r) : r;
}

// The next datagram that answers a question.
long receive_datagram(DnsLine* line, int fd, unsigned char* to, size_t room) {
    for (;;) {
        long n = receive(line, fd, line->received, largest);
        if (n < 0) return n;
        const DnsQuery* q = answered_by(line, line->received, static_cast<size_t>(n));
        if (q == nullptr) continue;
        line->received_size = static_cast<size_t>(n);
        return static_cast<long>(show(q, to, room));
    }
}

// A stream of messages, each after its length. c-ares reads a length and then so many bytes, and is
// given those of a shorter message once the real one is complete.
long receive_stream(DnsLine* line, int fd, unsigned char* to, size_t room) {
    while (line->shown_at == line->shown_size) {
        size_t have = line->stream_size;
        size_t want = 2;
        if (have >= 2) want += size_t{line->received[0]} * 256 + line->received[1];
        if (have < want || have < 2) {
            long n = receive(line, fd, line->received + have, want - have);
            if (n <= 0) {
                if (n == 0) line->error = 0;
                return n;
            }
            line->stream_size += static_cast<size_t>(n);
            continue;
        }
        line->stream_size = 0;
        if (want < 2 + header_size) return fails_with(line, -EMSGSIZE);
        const DnsQuery* q = answered_by(line, line->received + 2, want - 2);
        if (q == nullptr) continue;
        line->received_size = want - 2;
        memmove(line->received, line->received + 2, want - 2);
        size_t size = show(q, line->shown + 2, sizeof line->shown - 2);
        line->shown[0] = static_cast<unsigned char>(size >> 8);
        line->shown[1] = static_cast<unsigned char>(size & 255);
        line->shown_at = 0;
        line->shown_size = size + 2;
    }
    size_t left = line->shown_size - line->shown_at;
    size_t n = left < room ? left : room;
    memcpy(to, line->shown + line->shown_at, n);
    line->shown_at += n;
    return static_cast<long>(n);
}

ares_ssize_t receive_message(ares_socket_t fd, void* to, size_t room, int, sockaddr* from,
                             ares_socklen_t* from_size, void* data) {
    DnsLine* line = line_of(data);
    auto* bytes = static_cast<unsigned char*>(to);
    if (line->tcp) return receive_stream(line, fd, bytes, room);
    // The socket is connected, so it is the server who wrote.
    if (from != nullptr && from_size != nullptr) {
        size_t size =
            line->server.any.sa_family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
        if (*from_size >= size) memcpy(from, &line->server, size);
        *from_size = static_cast<ares_socklen_t>(size);
    }
    return receive_datagram(line, fd, bytes, room);
}

void socket_changed(void* data, ares_socket_t fd, int readable, int writable) {
    DnsLine* line = line_of(data);
    line->fd = readable != 0 || writable != 0 ? fd : -1;
    line->wants_write = writable != 0;
    if (line->fd < 0) line->shown_at = line->shown_size = line->stream_size = 0;
}

// ---- questions ----------------------------------------------------------------------------------

void remove(DnsQuery** list, DnsQuery* q) {
    while (*list != nullptr && *list != q) list = &(*list)->next;
    if (*list == q) *list = q->next;
}

void forget_if_done(DnsQuery* q) {
    if (q->held || q->order == 0 || q->askers != nullptr) return;
    free(q->answer);
    free(q);
}

void end_query(DnsQuery* q, int error) {
    q->error = error;
    q->order = ++ends;
    for (DnsQuestion* a = q->askers; a != nullptr; a = a->next) unpark(a->thread);
}

void answer_query(DnsQuery* q, const DnsLine* line) {
    q->answer = static_cast<unsigned char*>(malloc(line->received_size));
    if (q->answer == nullptr) return end_query(q, ENOMEM);
    memcpy(q->answer, line->received, line->received_size);
    q->answer_size = line->received_size;
    end_query(q, 0);
}

// c-ares' callback: on the line's thread. A question that was asked again, with the same id, has
// one answer; c-ares takes it for the first one's.
void query_ended(void* data, int status, int, unsigned char*, int) {
    auto* q = static_cast<DnsQuery*>(data);
    DnsLine* line = q->line;
    remove(&line->sent, q);
    --line->load;
    for (DnsQuery* other = status == ARES_SUCCESS ? line->sent : nullptr; other != nullptr;
         other = other->next) {
        bool again = other->size == q->size && memcmp(other->bytes, q->bytes, q->size) == 0;
        if (again && other->order == 0) answer_query(other, line);
    }
    q->held = false;
    if (q->order == 0) {
        q->no_socket = line->no_socket;
        if (status == ARES_SUCCESS) {
            answer_query(q, line);
        } else {
            end_query(q, status == ARES_ETIMEOUT ? ETIMEDOUT : line->error);
        }
    }
    forget_if_done(q);
}

// ---- a line's thread ----------------------------------------------------------------------------

bool open_channel(DnsLine* line) {
    if (line->channel != nullptr && line->configured_tcp == line->tcp &&
        line->configured_seconds == line->seconds) {
        return true;
    }
    if (line->channel != nullptr) cares.destroy(line->channel);
    line->channel = nullptr;
    // Everything is said, so that it reads no file.
    ares_options options = {};
    char lookups[] = "b";
    options.flags = ARES_FLAG_NOCHECKRESP | ARES_FLAG_IGNTC | ARES_FLAG_NOSEARCH |
                    ARES_FLAG_NOALIASES | (line->tcp ? ARES_FLAG_USEVC : 0);
    // No shorter than the asker's own clock, which counts; and by TCP there is none.
    options.timeout = line->tcp ? INT_MAX : static_cast<int>(line->seconds + 1) * 1000;
    options.tries = 1;
    options.ndots = 1;
    options.lookups = lookups;
    options.sock_state_cb = socket_changed;
    options.sock_state_cb_data = line;
    constexpr int given = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_NDOTS |
                          ARES_OPT_LOOKUPS | ARES_OPT_SOCK_STATE_CB | ARES_OPT_DOMAINS |
                          ARES_OPT_SORTLIST | ARES_OPT_SERVERS;
    if (cares.init_options(&line->channel, &options, given) != ARES_SUCCESS) {
        line->channel = nullptr;
        return false;
    }
    static const ares_socket_functions functions = {make_socket, close_socket, connect_socket,
                                                    receive_message, send_message};
    cares.set_socket_functions(line->channel, &functions, line);
    line->configured_tcp = line->tcp;
    line->configured_seconds = line->seconds;
    line->configured_server = {};
    return true;
}

bool open_line(DnsLine* line) {
    if (!open_channel(line)) return false;
    if (same_server(line->configured_server, line->server)) return true;
    ares_addr_port_node node = {};
    node.family = line->server.any.sa_family;
    if (node.family == AF_INET) {
        node.addr.addr4 = line->server.v4.sin_addr;
    } else {
        memcpy(&node.addr.addr6, &line->server.v6.sin6_addr, sizeof node.addr.addr6);
    }
    node.udp_port = node.tcp_port = ntohs(line->server.v4.sin_port);
    if (cares.set_servers_ports(line->channel, &node) != ARES_SUCCESS) return false;
    line->configured_server = line->server;
    return true;
}

void send_waiting(DnsLine* line) {
    while (line->unsent != nullptr) {
        DnsQuery* q = line->unsent;
        if (line->sent == nullptr && !open_line(line)) {
            line->unsent = q->next;
            --line->load;
            end_query(q, ENOMEM);
            forget_if_done(q);
            continue;
        }
        line->unsent = q->next;
        q->held = true;
        q->next = line->sent;
        line->sent = q;
        line->error = ECONNREFUSED;
        line->no_socket = false;
        cares.send(line->channel, q->bytes, static_cast<int>(q->size), query_ended, q);
    }
}

sys::Deadline next_timeout(DnsLine* line) {
    if (line->tcp) return sys::never;
    timeval t;
    if (cares.timeout(line->channel, nullptr, &t) == nullptr) return sys::never;
    return sys::after(static_cast<uint64_t>(t.tv_sec) * sys::second +
                      static_cast<uint64_t>(t.tv_usec) * 1000);
}

bool has_something(const DnsLine* line) {
    const FdState* s = fd_state(line->fd);
    return line->shown_at < line->shown_size || !s->drained[in] ||
           (line->wants_write && !s->drained[out]);
}

void wait_and_process(DnsLine* line) {
    if (!has_something(line)) {
        sys::Deadline until = next_timeout(line);
        wait_fd(line->fd, EPOLLIN | (line->wants_write ? EPOLLOUT : 0U), until);
        // Or woken for something else: a new question, most likely.
        if (!has_something(line) && until > sys::now()) return;
    }
    cares.process_fd(line->channel, line->fd, line->wants_write ? line->fd : ARES_SOCKET_BAD);
}

void look_for_cares();

void serve(Thread* thread) {
    thread_block_start(thread->resolver_state);
    auto* line = static_cast<DnsLine*>(thread->argument);
    if (!looked_for) look_for_cares();
    for (;;) {
        send_waiting(line);
        if (line->hang_up && line->sent != nullptr) cares.cancel(line->channel);
        line->hang_up = false;
        if (line->unsent != nullptr) continue;
        if (line->sent != nullptr && line->fd >= 0) {
            wait_and_process(line);
        } else {
            park(Park::sleep);
        }
    }
}

template <class T>
bool look_up(void* library, T& function, const char* name) {
    function = reinterpret_cast<T>(dlsym(library, name));
    return function != nullptr;
}

// Its own names come first for it (RTLD_DEEPBIND): a program may export another c-ares' names. By
// libc's own dlopen(3): the sanitizers' ends the process when it meets that flag.
void* open_library(const char* name) {
    void* libc = dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD);
    if (libc == nullptr) return nullptr;
    auto open = reinterpret_cast<void* (*)(const char*, int)>(dlsym(libc, "dlopen"));
    dlclose(libc);  // it is never unloaded
    return open == nullptr ? nullptr : open(name, RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND);
}

const char* load_cares() {
    void* library = open_library("libcares.so.2");
    if (library == nullptr) return "libcares.so.2 cannot be loaded";
    bool all = look_up(library, cares.library_init, "ares_library_init") &&
               look_up(library, cares.init_options, "ares_init_options") &&
               look_up(library, cares.destroy, "ares_destroy") &&
               look_up(library, cares.set_servers_ports, "ares_set_servers_ports") &&
               look_up(library, cares.set_socket_functions, "ares_set_socket_functions") &&
               look_up(library, cares.send, "ares_send") &&
               look_up(library, cares.timeout, "ares_timeout") &&
               look_up(library, cares.process_fd, "ares_process_fd") &&
               look_up(library, cares.cancel, "ares_cancel");
    if (!all) return "libcares.so.2 is older than 1.13";
    if (cares.library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS) return "c-ares does not start";
    return nullptr;
}

void look_for_cares() {
    problem = load_cares();
    looked_for = true;
    wake_address(&looked_for, UINT32_MAX);
}

DnsLine* make_line() {
    long memory = sys::invoke(SYS_mmap, nullptr, sizeof(DnsLine), PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (sys::failed(memory)) return nullptr;
    auto* line = new (reinterpret_cast<void*>(memory)) DnsLine;
    ThreadOptions options;
    options.stack_size = line_stack;
    line->thread = thread_make(options, serve);
    if (line->thread == nullptr) {
        sys::invoke(SYS_munmap, memory, sizeof(DnsLine));
        return nullptr;
    }
    line->fd = -1;
    line->thread->argument = line;
    line->thread->blocked = ~uint64_t{0};  // no handler of the program runs on it
    line->next = lines;
    lines = line;
    run_queue_add(line->thread);
    return line;
}

bool carries(const DnsLine* line, const DnsServer& server, unsigned seconds) {
    return !line->tcp && line->seconds == seconds && same_server(line->server, server);
}

// A line with room, or one that is idle and can be pointed anywhere, or a new one.
DnsLine* find_line(const DnsServer& server, bool tcp, unsigned seconds) {
    DnsLine* idle = nullptr;
    for (DnsLine* l = lines; l != nullptr; l = l->next) {
        if (l->taken) continue;
        if (!tcp && carries(l, server, seconds) && l->load < questions_per_line) return l;
        if (l->load == 0 && (idle == nullptr || l->tcp == tcp)) idle = l;
    }
    if (idle == nullptr) idle = make_line();
    if (idle == nullptr) return nullptr;
    idle->server = server;
    idle->tcp = idle->taken = tcp;
    idle->seconds = seconds;
    return idle;
}

DnsQuery* find_shared(const DnsServer& server, unsigned seconds, const unsigned char* bytes,
                      size_t size, uint32_t hash) {
    uint64_t now = loop_time();
    for (DnsLine* l = lines; l != nullptr; l = l->next) {
        if (l->load == 0 || !carries(l, server, seconds)) continue;
        DnsQuery* const lists[] = {l->unsent, l->sent};
        for (DnsQuery* q : lists) {
            for (; q != nullptr; q = q->next) {
                bool young = q->order == 0 && now < q->asked_at + shared_for;
                if (young && q->hash == hash && q->size == size &&
                    memcmp(q->bytes + 2, bytes + 2, size - 2) == 0) {
                    return q;
                }
            }
        }
    }
    return nullptr;
}

DnsQuery* make_query(DnsLine* line, const unsigned char* bytes, size_t size, uint32_t hash) {
    auto* q = static_cast<DnsQuery*>(calloc(1, sizeof(DnsQuery) + size));
    if (q == nullptr) return nullptr;
    memcpy(q->bytes, bytes, size);
    q->size = size;
    q->hash = hash;
    q->line = line;
    q->asked_at = loop_time();
    return q;
}

}  // namespace

int DnsConversation::ask(int which, const unsigned char* bytes, size_t size) {
    DnsQuestion& mine = questions_[which];
    uint32_t hash = hash_of(bytes, size);
    DnsQuery* q = tcp_ ? nullptr : find_shared(server_, seconds_, bytes, size, hash);
    if (q != nullptr) {
        ++stats.dns_shared;
    } else {
        q = make_query(nullptr, bytes, size, hash);  // malloc may park: before a line is chosen
        if (q == nullptr) return ENOMEM;
        DnsLine* line = line_ != nullptr ? line_ : find_line(server_, tcp_, seconds_);
        if (line == nullptr) {
            free(q);
            return ENOMEM;
        }
        if (tcp_) line_ = line;
        q->line = line;
        ++line->load;
        DnsQuery** end = &line->unsent;  // in their order: one connection carries both
        while (*end != nullptr) end = &(*end)->next;
        *end = q;
        ++stats.dns_questions;
        unpark(line->thread);
    }
    mine.query = q;
    mine.thread = self;
    mine.told = false;
    mine.next = q->askers;
    q->askers = &mine;
    return 0;
}

DnsConversation::~DnsConversation() {
    bool hang_up = false;
    for (DnsQuestion& mine : questions_) {
        DnsQuery* q = mine.query;
        if (q == nullptr) continue;
        DnsQuestion** link = &q->askers;
        while (*link != &mine) link = &(*link)->next;
        *link = mine.next;
        hang_up = hang_up || q->held || q->order == 0;
        forget_if_done(q);
    }
    if (line_ == nullptr) return;
    line_->taken = false;
    if (!hang_up) return;
    line_->hang_up = true;
    unpark(line_->thread);
}

int DnsConversation::unheard() const {
    int first = nothing_yet;
    for (int i = 0; i < 2; ++i) {
        const DnsQuestion& mine = questions_[i];
        if (mine.query == nullptr || mine.told || mine.query->order == 0) continue;
        if (first < 0 || mine.query->order < questions_[first].query->order) first = i;
    }
    return first;
}

int DnsConversation::next(sys::Deadline deadline) {
    for (;;) {
        int which = unheard();
        if (which >= 0) {
            questions_[which].told = true;
            return which;
        }
        Wake why = park(Park::fd, deadline);
        if (why == Wake::timed_out && unheard() < 0) return nothing_yet;
        if (why == Wake::interrupted) return was_interrupted;
    }
}

DnsAnswer DnsConversation::answer(int which) const {
    const DnsQuery* q = questions_[which].query;
    return {q->answer, q->answer_size, q->error, q->no_socket};
}

bool dns_start() {
    bool interrupted = false;
    if (!looked_for && !loading) loading = make_line() != nullptr;
    if (!looked_for && !loading) return false;  // no memory
    while (!looked_for) interrupted = wait_address(&looked_for) == Wake::interrupted || interrupted;
    if (interrupted) interrupt(self);  // whoever asked is answered at the next wait
    return problem == nullptr;
}

const char* dns_problem() { return problem; }

bool dns_owns_fd(int fd) {
    if (fd < lowest_fd || fd > highest_fd) return false;
    for (const DnsLine* l = lines; l != nullptr; l = l->next) {
        if (l->fd == fd) return true;
    }
    return false;
}

int dns_highest_fd() { return highest_fd; }

// c-ares' own memory stays behind: a thread of the parent may have been in the middle of it.
void dns_abandon() {
    while (lines != nullptr) {
        DnsLine* l = lines;
        lines = l->next;
        if (l->fd >= 0) sys::invoke(SYS_close, l->fd);
        thread_release(l->thread);
        sys::invoke(SYS_munmap, l, sizeof(DnsLine));
    }
    lowest_fd = INT_MAX;
    highest_fd = -1;
    loading = false;
}

}  // namespace green
