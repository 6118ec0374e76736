// Event loops, threads and processes for connections: see accept_shape.h.

#include "hooks/accept_shape.h"

#include <sys/stat.h>

#include "hooks/hook.h"

namespace green {

#define SERVES_SEVERAL "serves several connections at once by itself: it "

constexpr const char* makes_threads = SERVES_SEVERAL "makes threads while it serves";
const char shape_makes_processes[] = SERVES_SEVERAL "makes a process for each connection";

namespace {

int listener = -1, connection = -1;
ino_t identity = 0;  // of the connection: its number may mean something else by now

Thread* flow = nullptr;    // who accepted it
bool made_thread = false;  // since then

int forks = 0;  // since the last accept
unsigned with_forks = 0;

ino_t identity_of(int fd) {
    struct stat s;
    return sys::invoke(SYS_fstat, fd, &s) == 0 ? s.st_ino : 0;
}

void waits_for_both() {
    if (identity_of(connection) != identity) return;
    accept_mode_is_not_needed(SERVES_SEVERAL "waits for its listener and its connections together");
}

// Not FD_ISSET, which ends the program if the set is larger than usual.
bool is_in(const fd_set* set, int count, int fd) {
    if (set == nullptr || fd >= count) return false;
    constexpr int bits = 64;
    return (reinterpret_cast<const uint64_t*>(set)[fd / bits] >> (fd % bits) & 1) != 0;
}

}  // namespace

void shape_accepted(int from, int accepted) {
    if (connection >= 0 && forks > 0) ++with_forks;
    forks = 0;
    flow = self;
    made_thread = false;
    listener = from;
    connection = accepted;
    identity = identity_of(accepted);
}

void shape_sees_poll(const pollfd* fds, nfds_t count) {
    if (connection < 0) return;
    if (count == 1) return shape_comes_back(fds->fd);
    bool first = false, second = false;
    for (nfds_t i = 0; i < count; ++i) {
        first = first || fds[i].fd == listener;
        second = second || fds[i].fd == connection;
    }
    if (first && second) return waits_for_both();
    if (first) shape_comes_back(listener);
}

void shape_sees_select(int count, const fd_set* r, const fd_set* w) {
    if (connection < 0 || !is_in(r, count, listener)) return;
    if (is_in(r, count, connection) || is_in(w, count, connection)) return waits_for_both();
    shape_comes_back(listener);
}

void shape_sees_member(int set, int fd) {
    if (connection >= 0 && fd == connection && watches_listener(set)) waits_for_both();
}

void shape_sees_thread() {
    if (connection < 0) return;
    if (!is_active_mode()) return accept_mode_is_not_needed(makes_threads);
    made_thread = made_thread || self == flow;
}

void shape_comes_back(int fd) {
    if (!made_thread || self != flow || (fd != listener && !watches_listener(fd))) return;
    made_thread = false;
    if (identity_of(connection) == identity) accept_mode_is_not_needed(makes_threads);
}

bool shape_is_in_doubt() { return made_thread; }

void shape_sees_fork() {
    if (connection >= 0) ++forks;
}

void shape_sees_burial() {
    if (forks > 0) --forks;
}

unsigned shape_forks() { return with_forks; }

void shape_forget() {
    listener = connection = -1;
    flow = nullptr;
    made_thread = false;
    forks = 0;
    with_forks = 0;
}

}  // namespace green
