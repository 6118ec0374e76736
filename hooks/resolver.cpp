// Talking to name servers: the one place in glibc's resolver that waits, __res_context_send().
//
//     getaddrinfo, gethostbyname_r, getnameinfo, res_nquery ...      glibc's own, unchanged:
//        nsswitch.conf -> hosts, mdns ... -> dns: search domains      nothing in them waits for
//            |                                                       a name server but this
//        __res_context_send(questions) -> [hook] --> c-ares (runtime/resolver.h), or
//                                                 -> glibc's own, on cooperative calls
//
// So order, canonical names, flags, error codes and the memory of the results are glibc's, whatever
// the configuration. What the function promises is kept to the second: which server is asked when
// (resolv.conf(5): attempts, timeout, rotate), A and AAAA together and one after the other where a
// server cannot take both (single-request), TCP for truncated answers, the next server for SERVFAIL
// and for an answer that says nothing, the order in which two answers came, errno. The state it
// reads is the caller's (res_state), which glibc renews when resolv.conf changes.

#include "hooks/resolver.h"

#include <netdb.h>
#include <resolv.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hooks/activate.h"
#include "hooks/wait.h"
#include "runtime/resolver.h"

using namespace green;

// glibc's; its first member is all that matters here.
struct resolv_context {
    res_state state;
};

WAY_BACK(int, __res_context_send,
         (resolv_context*, const unsigned char*, int, const unsigned char*, int, unsigned char*,
          int, unsigned char**, unsigned char**, int*, int*, int*))

namespace green {

Resolver resolver = Resolver::automatic;

namespace {

constexpr size_t header_size = 12, largest = 65536;
constexpr int largest_datagram_question = 512;
// glibc's own marks in res_state._flags: this server must be asked one question at a time, or even
// from a new socket.
constexpr unsigned one_at_a_time = 8, from_new_socket = 16;

const char* reason = nullptr;

struct Header {
    const unsigned char* m;
    int code() const { return m[3] & 15; }
    bool truncated() const { return (m[2] & 2) != 0; }
    bool says_nothing() const {  // no answer, no authority, no recursion, no additional records
        return code() == 0 && m[6] == 0 && m[7] == 0 && (m[2] & 4) == 0 && (m[3] & 0x80) == 0 &&
               m[10] == 0 && m[11] == 0;
    }
    bool is_refusal() const {
        constexpr int servfail = 2, notimp = 4, refused = 5;
        return code() == servfail || code() == notimp || code() == refused;
    }
};

// Where an answer goes: the caller's buffer, or one from malloc that takes its place.
struct Place {
    unsigned char** at = nullptr;
    int* room = nullptr;
    int* size = nullptr;
    int* is_malloced = nullptr;
    bool can_grow = false;

    bool make_room(size_t wanted) const {
        if (wanted <= static_cast<size_t>(*room)) return true;
        auto* larger = can_grow ? static_cast<unsigned char*>(malloc(largest)) : nullptr;
        if (larger == nullptr) return false;
        *at = larger;
        *room = largest;
        if (is_malloced != nullptr) *is_malloced = 1;
        return true;
    }

    // The answer as the asker of `question` expects it: others may have asked with other ids.
    void put(const DnsAnswer& answer, const unsigned char* question) const {
        size_t n = answer.size;
        if (n > static_cast<size_t>(*room)) n = static_cast<size_t>(*room);
        memcpy(*at, answer.bytes, n);
        memcpy(*at, question, 2);
        *size = static_cast<int>(n);
    }
};

class Exchange {
  public:
    Exchange(res_state state, const unsigned char* first, int first_size,
             const unsigned char* second, int second_size)
        : state_(state),
          questions_{first, second},
          sizes_{static_cast<size_t>(first_size), static_cast<size_t>(second_size)} {}

    int run(Place first, Place second);

  private:
    enum class End { answered, next_server, by_tcp, failed };

    bool two() const { return questions_[1] != nullptr; }
    bool is_set(unsigned long option) const { return (state_->options & option) != 0; }
    unsigned first_server() const;
    DnsServer server(unsigned number) const;
    int next(DnsConversation& talk, sys::Deadline deadline) const;
    End nothing() {
        if (places_[1].size != nullptr) *places_[1].size = 0;
        return End::next_server;
    }
    End no_answer(unsigned number, const DnsAnswer& answer);
    End by_datagrams(unsigned number);
    End by_stream(unsigned number, bool again);
    void hide_authentic_bit(const Place& place) const;

    res_state state_;
    const unsigned char* questions_[2];
    size_t sizes_[2];
    Place places_[2];
    int error_ = ETIMEDOUT;  // of the last TCP connection
    bool heard_ = false;     // from any server, be it by its silence
};

// `rotate`: each look-up begins with another server.
unsigned Exchange::first_server() const {
    static unsigned turn = static_cast<unsigned>(sys::now() >> 10);
    auto count = static_cast<unsigned>(state_->nscount);
    return count > 1 && is_set(RES_ROTATE) ? turn++ % count : 0;
}

DnsServer Exchange::server(unsigned number) const {
    DnsServer server = {};
    const sockaddr_in6* v6 = state_->_u._ext.nsaddrs[number];
    server.v4 = state_->nsaddr_list[number];
    if (server.any.sa_family == 0 && v6 != nullptr) server.v6 = *v6;
    return server;
}

int Exchange::next(DnsConversation& talk, sys::Deadline deadline) const {
    for (;;) {
        int which = talk.next(deadline);
        if (which != DnsConversation::was_interrupted) return which;
        interruption_ends_call(true);
    }
}

Exchange::End Exchange::no_answer(unsigned number, const DnsAnswer& answer) {
    nothing();
    heard_ = heard_ || answer.error == ETIMEDOUT;
    error_ = answer.error;
    if (!answer.no_socket) return End::next_server;
    if (server(number).any.sa_family == AF_INET6 && error_ == EAFNOSUPPORT) {
        state_->ipv6_unavail = 1;
    }
    return End::failed;
}

Exchange::End Exchange::by_datagrams(unsigned number) {
    unsigned seconds = static_cast<unsigned>(state_->retrans) << number;
    if (number > 0) seconds /= static_cast<unsigned>(state_->nscount);
    if (seconds == 0 || seconds > INT_MAX) seconds = 1;
    bool reopen = is_set(RES_SNGLKUPREOP) || (state_->_flags & from_new_socket) != 0;
    bool single = reopen || is_set(RES_SNGLKUP) || (state_->_flags & one_at_a_time) != 0;
    bool heard_before = heard_;

again:
    sys::Deadline deadline = sys::after(seconds * sys::second);
    DnsConversation talk(server(number), false, seconds);
    int size = 0;
    bool done[2] = {false, !two()};
    for (int i = 0; i < (two() && !single ? 2 : 1); ++i) {
        if (int error = talk.ask(i, questions_[i], sizes_[i])) {
            return no_answer(number, {nullptr, 0, error, false});
        }
    }
    for (;;) {
        int which = next(talk, deadline);
        bool had_one = done[0] || (two() && done[1]);
        DnsAnswer answer = which < 0 ? DnsAnswer{nullptr, 0, ETIMEDOUT, false} : talk.answer(which);
        if (answer.bytes == nullptr && answer.error == ETIMEDOUT && size > 1 && had_one) {
            // One of two was answered: perhaps the server cannot take both at once.
            if (reopen) {
                *places_[1].size = 1;
                places_[0].size[0] = size;
                return End::answered;
            }
            reopen = single;
            single = true;
            state_->_flags |= reopen ? from_new_socket : one_at_a_time;
            heard_ = heard_before;
            goto again;
        }
        if (answer.bytes == nullptr) return no_answer(number, answer);
        heard_ = true;
        if (answer.size < header_size) {
            return no_answer(number, {nullptr, 0, EMSGSIZE, false});
        }
        const Place& place = places_[had_one && two() ? 1 : 0];
        place.make_room(answer.size);
        place.put(answer, questions_[which]);
        if (&place == &places_[0]) size = *place.size;
        Header header = {answer.bytes};
        if (header.is_refusal() || header.says_nothing()) {
            if (had_one) {
                *places_[1].size = 0;
                *places_[0].size = size;
                return size == 0 ? End::next_server : End::answered;
            }
            if (!two() || single) return nothing();
            size = 0;
            done[which] = true;
            continue;
        }
        if (!is_set(RES_IGNTC) && header.truncated()) {
            nothing();
            return End::by_tcp;
        }
        done[which] = true;
        if (done[0] && done[1]) {
            *places_[0].size = size;
            return End::answered;
        }
        if (!single) continue;
        if (int error = talk.ask(1, questions_[1], sizes_[1])) {
            return no_answer(number, {nullptr, 0, error, false});
        }
    }
}

// Both questions over one connection, which nothing but its end limits in time: connect(2) and
// read(2) of glibc have no limit either.
Exchange::End Exchange::by_stream(unsigned number, bool again) {
    DnsConversation talk(server(number), true, 0);
    int count = two() ? 2 : 1;
    for (int i = 0; i < count; ++i) {
        if (int error = talk.ask(i, questions_[i], sizes_[i])) {
            return no_answer(number, {nullptr, 0, error, false});
        }
    }
    for (int i = 0; i < count; ++i) {
        int which = next(talk, sys::never);
        DnsAnswer answer = talk.answer(which);
        if (answer.bytes == nullptr && answer.error == ECONNRESET && !again) {
            return by_stream(number, true);  // it may have been started anew
        }
        if (answer.bytes == nullptr) return no_answer(number, answer);
        const Place& place = places_[i];
        bool whole = place.make_room(answer.size);
        if (!whole && place.can_grow) return no_answer(number, {nullptr, 0, ENOMEM, false});
        place.put(answer, questions_[which]);
        if (!whole) (*place.at)[2] |= 2;  // truncated, and so long it would have been
        *place.size = static_cast<int>(answer.size);
    }
    return End::answered;
}

void Exchange::hide_authentic_bit(const Place& place) const {
    if (place.size == nullptr || *place.size <= static_cast<int>(header_size)) return;
    if (!is_set(RES_TRUSTAD)) (*place.at)[3] &= static_cast<unsigned char>(~0x20);
}

int Exchange::run(Place first, Place second) {
    errno = 0;  // as glibc does where it opens a socket: the question's own making leaves an ENOENT
    places_[0] = first;
    places_[1] = second;
    auto count = static_cast<unsigned>(state_->nscount);
    bool tcp = is_set(RES_USEVC) || sizes_[0] > largest_datagram_question ||
               sizes_[1] > largest_datagram_question;
    unsigned offset = first_server();
    for (int attempt = 0; attempt < state_->retry; ++attempt) {
        for (unsigned i = 0; i < count; ++i) {
            unsigned number = (i + offset) % count;
            End end = tcp ? End::by_tcp : by_datagrams(number);
            if (end == End::by_tcp) {  // once for each server, from here on
                tcp = true;
                attempt = state_->retry;
                end = by_stream(number, false);
            }
            if (end == End::failed) {
                errno = error_;
                return -1;
            }
            if (end == End::next_server) continue;
            hide_authentic_bit(places_[0]);
            hide_authentic_bit(places_[1]);
            return *places_[0].size;
        }
    }
    errno = tcp ? error_ : heard_ ? ETIMEDOUT : ECONNREFUSED;
    return -1;
}

bool left_to_libc(const char* why) {
    if (reason == nullptr) reason = why;
    ++stats.dns_by_libc;
    return false;
}

// Whether c-ares carries this exchange. Where it could not do as glibc does, glibc does it.
bool carried_by_cares(res_state state) {
    if (resolver == Resolver::libc || resolver == Resolver::threads) return left_to_libc(nullptr);
    if (state->pfcode != 0) return left_to_libc("the program debugs its questions (pfcode)");
    if (state->nscount < 1 || state->nscount > MAXNS) return left_to_libc("no name server");
    for (int i = 0; i < state->nscount; ++i) {
        int family = state->nsaddr_list[i].sin_family;
        bool v6 = family == 0 && state->_u._ext.nsaddrs[i] != nullptr;
        if (family != AF_INET && !v6) return left_to_libc("a name server of an unknown kind");
    }
    if (dns_start()) return true;
    static bool said = false;
    if (resolver == Resolver::cares && warnings && !said) {
        const char* why = dns_problem() == nullptr ? "no memory" : dns_problem();
        dprintf(2, "libgreen: GREEN_RESOLVER=cares: %s; libc's resolver is used\n", why);
        said = true;
    }
    return left_to_libc(dns_problem());
}

}  // namespace

const char* resolver_name() {
    if (resolver == Resolver::libc) return "libc";
    if (resolver == Resolver::threads) return "thread";
    return dns_problem() == nullptr ? "cares" : "libc";
}

namespace {

// nsswitch.conf's line about hosts, which is glibc's to obey: c-ares is asked where it says `dns`.
void find_hosts_line(char* line, size_t room) {
    char text[4096];
    long fd = sys::invoke(SYS_openat, AT_FDCWD, "/etc/nsswitch.conf", O_RDONLY | O_CLOEXEC);
    long size = fd < 0 ? 0 : sys::invoke(SYS_read, fd, text, sizeof text - 1);
    if (fd >= 0) sys::invoke(SYS_close, fd);
    text[size < 0 ? 0 : size] = '\0';
    const char* at = strncmp(text, "hosts:", 6) == 0 ? text : strstr(text, "\nhosts:");
    if (at == nullptr) at = "no line about hosts";
    at += *at == '\n' ? 1 : 0;
    size_t length = strcspn(at, "\n#");
    snprintf(line, room, "%.*s", static_cast<int>(length), at);
}

}  // namespace

const char* resolver_reason() {
    static char text[400];
    if (dns_problem() != nullptr) return dns_problem();
    if (reason != nullptr) return reason;
    if (resolver != Resolver::automatic) return "as asked for";
    char hosts[200];
    find_hosts_line(hosts, sizeof hosts);
    snprintf(text, sizeof text,
             "nsswitch.conf: %s; glibc asks these services itself, c-ares the name servers", hosts);
    return text;
}

}  // namespace green

INTERNAL_HOOK(int, __res_context_send,
              (resolv_context * context, const unsigned char* question, int question_size,
               const unsigned char* question2, int question2_size, unsigned char* answer, int room,
               unsigned char** larger, unsigned char** answer2, int* room2, int* size2,
               int* malloced2)) {
    if (self != nullptr) thread_block_note_look_up(context);
    int least = static_cast<int>(question2 == nullptr ? header_size : 2 * header_size);
    if (self == nullptr || room < least || !carried_by_cares(context->state)) {
        return way_back___res_context_send()(context, question, question_size, question2,
                                             question2_size, answer, room, larger, answer2, room2,
                                             size2, malloced2);
    }
    cancellation_point();
    int size = 0;
    Place first = {larger != nullptr ? larger : &answer, &room, &size, nullptr, larger != nullptr};
    Place second = {answer2, room2, size2, malloced2, answer2 != nullptr};
    Exchange exchange(context->state, question, question_size, question2, question2_size);
    return exchange.run(first, second);
}
