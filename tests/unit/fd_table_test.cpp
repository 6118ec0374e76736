// Descriptors: waiting for them, what is remembered of them, and what happens when a number comes
// to mean something else.

#include "runtime/fd_table.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/eventfd.h>

#include "tests/unit/green_test.h"

using namespace green_test;

TEST_SUITE_BEGIN("fd_table");

namespace {

// A thread that waits for a descriptor.
struct Waiter {
    Wake why = Wake::interrupted;
    bool done = false;
    Thread* thread;

    Waiter(int fd, uint32_t events, sys::Deadline deadline = sys::never) {
        thread = start([=, this] {
            why = wait_fd(fd, events, deadline);
            done = true;
        });
        yield();
    }
    void join_it() {
        if (thread != nullptr) join(thread);
        thread = nullptr;
    }
    ~Waiter() { join_it(); }
};

void let_the_loop_look() {
    yield();  // to those who run
    yield();  // to the loop
    yield();  // to those it woke
}

// Sends until the kernel takes no more.
void fill(int fd) {
    char bytes[4096] = {};
    while (write(fd, bytes, sizeof bytes) > 0) {
    }
}
void empty(int fd) {
    char bytes[4096];
    while (read(fd, bytes, sizeof bytes) > 0) {
    }
}

// Puts `replacement` in the place of `number` without a word to the runtime.
void replace_behind_our_back(int number, int replacement) {
    REQUIRE(dup3(replacement, number, O_CLOEXEC) == number);
}

}  // namespace

TEST_CASE("numbers beyond the table have no state") {
    CHECK(fd_state(-1) == nullptr);
    CHECK(fd_state(1 << 20) == nullptr);
    CHECK(fd_state((1 << 20) - 1) != nullptr);
}

TEST_CASE("a wait ends when there is something to read") {
    Pipe pipe;
    Waiter w(pipe.first, EPOLLIN);
    let_the_loop_look();
    CHECK(!w.done);
    put(pipe.second);
    w.join_it();
    CHECK(w.why == Wake::ready);
}

TEST_CASE("a wait ends at once for what is ready already") {
    Pipe pipe;
    put(pipe.second);
    CHECK(wait_fd(pipe.first, EPOLLIN, sys::after(10 * sys::second)) == Wake::ready);
    CHECK(wait_fd(pipe.second, EPOLLOUT, sys::after(10 * sys::second)) == Wake::ready);
}

TEST_CASE("a wait ends at its deadline, not before, and leaves nobody in the queue") {
    Pipe pipe;
    sys::Deadline deadline = sys::after(5 * sys::millisecond);
    CHECK(wait_fd(pipe.first, EPOLLIN, deadline) == Wake::timed_out);
    CHECK(sys::now() >= deadline);
    CHECK(fd_state(pipe.first)->waiters == nullptr);
}

TEST_CASE("a wait ends when there is room to write") {
    Pipe pipe;
    fill(pipe.second);
    Waiter w(pipe.second, EPOLLOUT);
    let_the_loop_look();
    CHECK(!w.done);
    empty(pipe.first);
    w.join_it();
    CHECK(w.why == Wake::ready);
}

TEST_CASE("reading and writing are waited for apart") {
    SocketPair sockets;
    fill(sockets.first);
    Waiter writer(sockets.first, EPOLLOUT), reader(sockets.first, EPOLLIN);
    let_the_loop_look();
    put(sockets.second);
    let_the_loop_look();
    CHECK(reader.done);
    CHECK(!writer.done);
    empty(sockets.second);
    writer.join_it();
    CHECK(writer.why == Wake::ready);
}

TEST_CASE("all who wait for a descriptor are woken") {
    Pipe pipe;
    Waiter one(pipe.first, EPOLLIN), two(pipe.first, EPOLLIN), three(pipe.first, EPOLLIN);
    put(pipe.second);
    let_the_loop_look();
    CHECK((one.done && two.done && three.done));
}

TEST_CASE("the end of the stream wakes readers and writers, and stays in mind") {
    SocketPair sockets;
    fill(sockets.first);
    Waiter writer(sockets.first, EPOLLOUT), reader(sockets.first, EPOLLIN);
    CHECK(!fd_state(sockets.first)->sticky);
    Pair::close_one(&sockets.second);
    writer.join_it();
    reader.join_it();
    CHECK(writer.why == Wake::ready);
    CHECK(reader.why == Wake::ready);
    CHECK(fd_state(sockets.first)->sticky);
}

TEST_CASE("a peer that only stops sending wakes the reader") {
    SocketPair sockets;
    Waiter reader(sockets.first, EPOLLIN);
    shutdown(sockets.second, SHUT_WR);
    reader.join_it();
    CHECK(reader.why == Wake::ready);
    CHECK(fd_state(sockets.first)->sticky);
}

TEST_CASE("drained lasts until the next event of its direction") {
    SocketPair sockets;
    FdState* s = fd_state(sockets.first);
    REQUIRE(fd_watch(sockets.first));
    fill(sockets.first);
    let_the_loop_look();
    s->drained[in] = s->drained[out] = true;
    let_the_loop_look();
    CHECK(s->drained[in]);
    put(sockets.second);
    let_the_loop_look();
    CHECK(!s->drained[in]);
    CHECK(s->announced);
    CHECK(!s->sticky);
    s->drained[in] = s->drained[out] = true;
    empty(sockets.second);
    let_the_loop_look();
    CHECK(!s->drained[out]);
}

TEST_CASE("what fd_wake says, no event needs to say") {
    Pipe pipe;
    Waiter w(pipe.first, EPOLLIN);
    FdState* s = fd_state(pipe.first);
    s->drained[in] = true;
    fd_wake(pipe.first);
    w.join_it();
    CHECK(w.why == Wake::ready);
    CHECK(!s->drained[in]);
    CHECK(s->sticky);
}

TEST_CASE("a descriptor is registered once") {
    Pipe pipe;
    FdState* s = fd_state(pipe.first);
    CHECK(!s->registered);
    for (int i = 0; i < 3; ++i) {
        put(pipe.second);
        CHECK(wait_fd(pipe.first, EPOLLIN, sys::after(10 * sys::second)) == Wake::ready);
        take(pipe.first);
        CHECK(s->registered);
    }
    epoll_event event = {};
    CHECK(loop_epoll_ctl(EPOLL_CTL_ADD, pipe.first, &event) == -EEXIST);
}

TEST_CASE("what epoll does not take is not waited for") {
    char name[] = "/tmp/libgreen-unit-XXXXXX";
    int fd = mkstemp(name);
    REQUIRE(fd >= 0);
    unlink(name);
    CHECK(!fd_watch(fd));
    CHECK(wait_fd(fd, EPOLLIN) == Wake::ready);
    CHECK(fd_state(fd)->kind == FdKind::plain);
    fd_forget(fd);
    close(fd);
}

TEST_CASE("a number that is closed is looked at again soon") {
    int fd = dup(0);
    REQUIRE(fd >= 0);
    close(fd);
    CHECK(wait_fd(fd, EPOLLIN) == Wake::ready);
    fd_forget(fd);
}

TEST_CASE("one of several descriptors is enough") {
    Pipe one, two;
    FdWait waits[4];
    waits[0].fd = -1;
    waits[1].fd = one.first;
    waits[2].fd = two.first;
    waits[3].fd = 1 << 20;  // beyond the table
    for (FdWait& w : waits) w.events = EPOLLIN;
    REQUIRE(fd_watch(one.first));
    REQUIRE(fd_watch(two.first));
    Thread* t = start([&] {
        sleep_for(sys::millisecond);
        put(two.second);
    });
    CHECK(wait_fds(waits, 4, sys::after(10 * sys::second)) == Wake::ready);
    CHECK(fd_state(one.first)->waiters == nullptr);
    CHECK(fd_state(two.first)->waiters == nullptr);
    CHECK(wait_fds(waits, 2, sys::after(sys::millisecond)) == Wake::timed_out);
    join(t);
}

TEST_CASE("one descriptor may be waited for twice by one thread") {
    SocketPair sockets;
    FdWait waits[2];
    waits[0].fd = waits[1].fd = sockets.first;
    waits[0].events = EPOLLIN;
    waits[1].events = EPOLLPRI;
    REQUIRE(fd_watch(sockets.first));
    let_the_loop_look();
    CHECK(wait_fds(waits, 2, sys::after(sys::millisecond)) == Wake::timed_out);
    CHECK(fd_state(sockets.first)->waiters == nullptr);
    put(sockets.second);
    CHECK(wait_fds(waits, 2, sys::after(10 * sys::second)) == Wake::ready);
}

TEST_CASE("forgetting a number wakes who waits for it") {
    Pipe pipe;
    Waiter one(pipe.first, EPOLLIN), two(pipe.first, EPOLLIN);
    fd_forget(pipe.first);
    let_the_loop_look();
    CHECK((one.done && two.done));
    CHECK(one.why == Wake::ready);
    CHECK(fd_state(pipe.first)->waiters == nullptr);
}

TEST_CASE("what is forgotten is asked again") {
    Pipe pipe;
    FdState* s = fd_state(pipe.first);
    REQUIRE(fd_learn(pipe.first, s) == 0);
    REQUIRE(fd_watch(pipe.first));
    uint32_t generation = s->generation;
    s->drained[in] = true;
    fd_forget(pipe.first);
    CHECK(s->generation == generation + 1);
    CHECK(s->kind == FdKind::unknown);
    CHECK(!s->registered);
    CHECK(!s->drained[in]);
}

TEST_CASE("a number that was forgotten, but is still registered, can be waited for") {
    Pipe pipe;
    REQUIRE(fd_learn(pipe.first, fd_state(pipe.first)) == 0);
    REQUIRE(fd_watch(pipe.first));
    fd_state(pipe.first)->ours = true;  // so that forgetting tells epoll nothing
    fd_state(pipe.first)->fork_epoch = fd_created(dup(0), FdKind::unknown, false)->fork_epoch;
    fd_forget(pipe.first);
    Waiter w(pipe.first, EPOLLIN);
    let_the_loop_look();
    CHECK(!w.done);
    put(pipe.second);
    w.join_it();
    CHECK(w.why == Wake::ready);
}

TEST_CASE("an event of an earlier life of the number is ignored") {
    Pipe pipe;
    FdState* s = fd_state(pipe.first);
    REQUIRE(fd_watch(pipe.first));
    auto event_of = [&](uint32_t generation) {
        epoll_event event = {};
        event.events = EPOLLIN;
        event.data.u64 =
            static_cast<uint64_t>(generation) << 32 | static_cast<uint32_t>(pipe.first);
        return event;
    };
    Waiter w(pipe.first, EPOLLIN);
    s->drained[in] = true;
    fd_event(event_of(s->generation - 1));
    let_the_loop_look();
    CHECK(s->drained[in]);
    CHECK(!w.done);
    fd_event(event_of(s->generation));
    let_the_loop_look();
    CHECK(!s->drained[in]);
    CHECK(w.done);
}

TEST_CASE("epoll is told of a closed number where closing it is not enough") {
    auto still_registered = [](int fd) {
        epoll_event event = {};
        return loop_epoll_ctl(EPOLL_CTL_MOD, fd, &event) == 0;
    };
    Pipe alone, duplicated, of_others;
    fd_created(alone.first, FdKind::nowait, true);
    fd_created(duplicated.first, FdKind::nowait, true);
    int duplicate = dup(duplicated.first);
    fd_duplicated(duplicated.first, duplicate);
    for (int fd : {alone.first, duplicated.first, of_others.first}) {
        REQUIRE(fd_watch(fd));
        fd_forget(fd);
    }
    CHECK(still_registered(alone.first));  // close(2) does it, without a call
    CHECK(!still_registered(duplicated.first));
    CHECK(!still_registered(of_others.first));
    close(duplicate);
}

TEST_CASE("a duplicate of a closed number says nothing any more") {
    Pipe pipe, successor;
    int duplicate = dup(pipe.first);
    fd_duplicated(pipe.first, duplicate);
    REQUIRE(fd_watch(pipe.first));
    fd_forget(pipe.first);
    replace_behind_our_back(pipe.first, successor.first);
    Waiter w(pipe.first, EPOLLIN);
    put(pipe.second);  // readable by `duplicate` only
    let_the_loop_look();
    CHECK(!w.done);
    put(successor.second);
    w.join_it();
    close(duplicate);
}

TEST_CASE("a range of numbers is forgotten") {
    Pipe pipe;
    auto [low, high] = std::minmax(pipe.first, pipe.second);
    for (int fd : {low, high}) REQUIRE(fd_learn(fd, fd_state(fd)) == 0);
    Waiter w(pipe.first, EPOLLIN);
    fd_forget_range(static_cast<unsigned>(low), UINT32_MAX);
    w.join_it();
    CHECK(fd_state(low)->kind == FdKind::unknown);
    CHECK(fd_state(high)->kind == FdKind::unknown);
}

TEST_CASE("a range includes what was waited for and never learnt") {
    Pipe pipe;
    auto fd = static_cast<unsigned>(pipe.first);
    REQUIRE(fd_watch(pipe.first));
    fd_forget_range(fd, fd);
    CHECK(!fd_state(pipe.first)->registered);
}

TEST_CASE("an event that nobody announced is found after a second") {
    Pipe pipe, successor;
    REQUIRE(fd_watch(pipe.first));
    replace_behind_our_back(pipe.first, successor.first);
    uint64_t missed = stats.missed_events;
    put(successor.second);
    CHECK(wait_fd(pipe.first, EPOLLIN, sys::after(10 * sys::second)) == Wake::ready);
    CHECK(stats.missed_events == missed + 1);
    take(pipe.first);
    // From now on the number is registered again.
    Waiter w(pipe.first, EPOLLIN);
    put(successor.second);
    w.join_it();
    CHECK(w.why == Wake::ready);
    CHECK(stats.missed_events == missed + 1);
}

TEST_CASE("an event that nobody announced is found, too, if it comes after that second") {
    Pipe pipe, successor;
    REQUIRE(fd_watch(pipe.first));
    replace_behind_our_back(pipe.first, successor.first);
    Waiter w(pipe.first, EPOLLIN, sys::after(5 * sys::second));
    sleep_for(1500 * sys::millisecond);
    CHECK(!w.done);
    put(successor.second);
    w.join_it();
    CHECK(w.why == Wake::ready);
}

TEST_CASE("the kind of a descriptor is learnt") {
    auto kind_of = [](int fd) {
        FdState* s = fd_state(fd);
        CHECK(fd_learn(fd, s) == 0);
        return s->kind;
    };
    Pipe pipe;
    SocketPair sockets;
    CHECK(kind_of(pipe.first) == FdKind::nowait);
    CHECK(kind_of(sockets.first) == FdKind::socket);
    CHECK(!fd_state(sockets.first)->tcp);
    struct {
        int fd;
        FdKind kind;
        bool tcp;
    } const others[] = {
        {open("/", O_RDONLY | O_DIRECTORY), FdKind::plain, false},
        {open("/proc/self/exe", O_RDONLY), FdKind::plain, false},
        {eventfd(0, 0), FdKind::nowait, false},
        {socket(AF_INET, SOCK_STREAM, 0), FdKind::socket, true},
        {socket(AF_INET, SOCK_DGRAM, 0), FdKind::socket, false},
    };
    for (const auto& other : others) {
        REQUIRE(other.fd >= 0);
        CHECK(kind_of(other.fd) == other.kind);
        CHECK(fd_state(other.fd)->tcp == other.tcp);
        fd_forget(other.fd);
        close(other.fd);
    }
    int closed = dup(0);
    close(closed);
    fd_forget(closed);
    CHECK(fd_learn(closed, fd_state(closed)) == EBADF);
}

TEST_CASE("O_NONBLOCK is remembered, and asked again when somebody may have changed it") {
    Pipe pipe;
    FdState* s = fd_state(pipe.first);
    auto nonblocking = [&] {
        CHECK(fd_learn(pipe.first, s) == 0);
        return s->nonblocking;
    };
    CHECK(nonblocking());
    fcntl(pipe.first, F_SETFL, 0);
    CHECK(nonblocking());  // nobody said so
    fd_doubt_mode(s);
    CHECK(!nonblocking());
    fcntl(pipe.first, F_SETFL, O_NONBLOCK);
    fd_mode_changed(pipe.second, true);  // some description that is not ours alone
    CHECK(nonblocking());
}

TEST_CASE("the mode of a description that is ours alone needs no asking") {
    Pipe pipe, other;
    FdState* s = fd_created(pipe.first, FdKind::nowait, true);
    REQUIRE(fd_learn(other.first, fd_state(other.first)) == 0);
    uint32_t epoch = s->mode_epoch;
    fd_mode_changed(pipe.first, false);
    CHECK(!s->nonblocking);
    REQUIRE(fd_learn(pipe.first, s) == 0);
    CHECK(!s->nonblocking);  // not asked: it is set in truth
    CHECK(s->mode_epoch == epoch);
}

TEST_CASE("a description is ours alone until a fork") {
    Pipe pipe;
    FdState* s = fd_state(pipe.first);
    CHECK(fd_shared(s));
    fd_created(pipe.first, FdKind::nowait, true);
    CHECK(!fd_shared(s));
    fd_forked();
    CHECK(fd_shared(s));
}

TEST_CASE("time-outs of a socket are asked once, and again when they have changed") {
    SocketPair sockets;
    FdState* s = fd_state(sockets.first);
    REQUIRE(fd_learn(sockets.first, s) == 0);
    CHECK(fd_timeout(sockets.first, s, in) == 0);
    timeval t = {1, 500'000};
    REQUIRE(setsockopt(sockets.first, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t) == 0);
    CHECK(fd_timeout(sockets.first, s, in) == 0);
    fd_timeouts_changed(sockets.first);
    CHECK(fd_timeout(sockets.first, s, in) == 1500 * sys::millisecond);
    CHECK(fd_timeout(sockets.first, s, out) == 0);
}

TEST_CASE("a thousand waits at once") {
    constexpr int many = 1000;
    std::vector<std::unique_ptr<Pipe>> pipes;
    std::vector<Thread*> threads;
    int reads = 0;
    for (int i = 0; i < many; ++i) {
        pipes.push_back(std::make_unique<Pipe>());
        threads.push_back(start([&, i] {
            for (int round = 0; round < 3; ++round) {
                while (wait_fd(pipes[i]->first, EPOLLIN) != Wake::ready) {
                }
                take(pipes[i]->first);
                ++reads;
            }
        }));
    }
    for (int round = 0; round < 3; ++round) {
        for (int i = 0; i < many; ++i) put(pipes[i * 7 % many]->second);
        while (reads < (round + 1) * many) yield();
    }
    join(threads);
    CHECK(reads == 3 * many);
}

TEST_CASE("a descriptor of which nothing is known is not settled, however often all were doubted") {
    FdState unknown = {};
    fd_table.settled = UINT32_MAX;
    fd_forked();
    CHECK_FALSE(fd_settled(&unknown));
}

TEST_SUITE_END();
