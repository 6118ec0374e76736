// The DNS exchange: a question sent to a name server and its answer, by c-ares.
//
// Why only that much of c-ares. What a look-up means (nsswitch.conf, /etc/hosts, search domains,
// flags, the order of RFC 6724, error codes) is defined by glibc, and none of it waits; a second
// implementation of it would differ somewhere. glibc's own functions therefore do all of it, and
// only the one below them that talks to name servers (hooks/resolver.cpp) is replaced: instead of a
// socket for each look-up, poll(2) and a second try, c-ares carries many questions over one socket.
// A thousand look-ups at once need sixteen descriptors; equal ones share a packet.
//
// A `line` is a c-ares channel to one server with a green thread of its own, which is the only one
// that enters it: look-ups may be made on stacks of 16 KiB, and c-ares may call malloc, which may
// have to wait. The line's thread is no thread of the program: it is in no list, gets no signal,
// and is asleep while there is nothing to ask.
//
//      asker                       line (UDP: up to 64 questions; TCP: one asker's)
//        | ask --> unsent --> ares_send --> socket
//        | park                                |   wait_fd, ares_process_fd
//        +<----------- unpark <--- callback <--+
//
// c-ares is given its sockets' system calls by us (ares_set_socket_functions), so they are raw ones
// and their numbers high ones, and is shown of each datagram the header and the question only:
// version 1.18 would cut what is longer than it expects, and ask again without EDNS where glibc
// does not. It is loaded at the first question and not linked: a program that brings its own copy
// must not meet ours, and one that asks nothing should not pay for it.
#pragma once

#include <netinet/in.h>

#include "runtime/thread.h"

namespace green {

struct DnsLine;
struct DnsQuery;

union DnsServer {
    sockaddr any;
    sockaddr_in v4;
    sockaddr_in6 v6;
};

// One question of a conversation, while it is asked.
struct DnsQuestion {
    DnsQuery* query = nullptr;  // null: not asked
    DnsQuestion* next = nullptr;
    Thread* thread = nullptr;
    bool told = false;  // next() has returned it
};

struct DnsAnswer {
    const unsigned char* bytes;  // null: there is none; valid until the conversation ends
    size_t size;
    int error;       // if there is none: ETIMEDOUT, ECONNREFUSED ...
    bool no_socket;  // not even a socket could be made
};

// Up to two questions (for the A and the AAAA records of a name) of one thread to one server. It
// lives on the asker's stack; its end takes the questions back.
class DnsConversation {
  public:
    // `seconds`: after that long (or a little more) a question is given up. By TCP it never is.
    DnsConversation(const DnsServer& server, bool tcp, unsigned seconds)
        : server_(server), tcp_(tcp), seconds_(seconds) {}
    ~DnsConversation();
    DnsConversation(const DnsConversation&) = delete;
    DnsConversation& operator=(const DnsConversation&) = delete;

    // Sends a question; 0 or an error number. Calls malloc.
    int ask(int which, const unsigned char* bytes, size_t size);

    // The next answer that came, in the order in which they came; parks until there is one.
    static constexpr int nothing_yet = -1, was_interrupted = -2;
    int next(sys::Deadline deadline);
    DnsAnswer answer(int which) const;

  private:
    int unheard() const;

    DnsServer server_;
    bool tcp_;
    unsigned seconds_;
    DnsLine* line_ = nullptr;  // by TCP: ours alone
    DnsQuestion questions_[2];
};

// Whether c-ares is there; the first time it is looked for, while the caller is parked.
bool dns_start();
// Why it is not; null if it is, or was not looked for.
const char* dns_problem();

// Whether a descriptor number is a line's, which the program must not meet; the highest one or -1.
bool dns_owns_fd(int fd);
int dns_highest_fd();

// In the child after fork(2): the lines are the parent's.
void dns_abandon();

}  // namespace green
