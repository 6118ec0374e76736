// A child after fork(2): one thread, dormant, and all can begin again.

#include "tests/unit/green_test.h"

using namespace green_test;

TEST_SUITE_BEGIN("fork");

namespace {

// Threads, deadlines, addresses and descriptors in a process that may have been made by fork.
bool everything_works() {
    if (scheduler_start() != nullptr || self == nullptr) return false;
    int fds[2];
    if (pipe2(fds, O_NONBLOCK | O_CLOEXEC) != 0) return false;
    bool woken = false, read_it = false, slept = false;
    int place = 0;
    std::vector<Thread*> threads = {
        start([&] { woken = wait_address(&place) == Wake::ready; }),
        start([&] { read_it = wait_fd(fds[0], EPOLLIN) == Wake::ready; }), start([&] {
            slept = sleep_for(sys::millisecond) == Wake::timed_out;
            wake_address(&place);
            (void)!write(fds[1], "x", 1);
        })};
    join(threads);
    return woken && read_it && slept;
}

}  // namespace

TEST_CASE("the child is dormant") {
    int ran_in_parent = 0;
    Thread* t = start([&] { ++ran_in_parent; });
    int status = in_child([&] {
        scheduler_abandon();
        if (self != nullptr) return 1;
        if (threads_alive() != owner || owner->next_alive != nullptr) return 2;
        if (loop_highest_fd() != -1 || in_loop() || loop_libev() != nullptr) return 3;
        if (stats.threads_alive != 1 || stats.switches != 0) return 4;
        if (owner->tid != getpid()) return 5;
        scheduler_abandon();  // twice is once
        return ran_in_parent == 0 ? 0 : 6;
    });
    CHECK(status == 0);
    join(t);
    CHECK(ran_in_parent == 1);
}

TEST_CASE("a descriptor made before the first thread is ours alone until it may be shared") {
    enum Then { nothing, forks, closes };
    // Whether it is thought to be shared, when threads begin after that.
    auto shared_after = [](Then then) {
        return in_child([then] {
            scheduler_abandon();
            int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
            if (listen(fd, 1) != 0) return 2;
            fd_note_early(fd, true);
            if (then == forks) fd_forked();
            if (then == closes) fd_note_early(fd, false);
            if (scheduler_start() != nullptr) return 3;
            FdState* s = fd_state(fd);
            if (fd_learn(fd, s) != 0) return 4;
            return fd_shared(s) ? 1 : 0;
        });
    };
    CHECK(shared_after(nothing) == 0);
    CHECK(shared_after(forks) == 1);
    CHECK(shared_after(closes) == 1);
}

TEST_CASE("the loop's descriptors are closed in the child") {
    std::vector<int> fds;
    for (int fd = 0; fd <= loop_highest_fd(); ++fd) {
        if (loop_owns_fd(fd)) fds.push_back(fd);
    }
    int status = in_child([&] {
        scheduler_abandon();
        for (int fd : fds) {
            if (fcntl(fd, F_GETFD) != -1) return 1;
        }
        return 0;
    });
    CHECK(status == 0);
}

TEST_CASE("the child can begin again, and so can its child") {
    int status = in_child([] {
        scheduler_abandon();
        if (!everything_works()) return 1;
        return in_child([] {
            scheduler_abandon();
            return everything_works() ? 0 : 2;
        });
    });
    CHECK(status == 0);
}

TEST_CASE("a green thread that forks is the child's first thread") {
    int status = -1;
    run([&] {
        Thread* me = self;
        status = in_child([me] {
            scheduler_abandon();
            if (owner != me || threads_alive() != me || me->next_alive != nullptr) return 1;
            return everything_works() && thread_first() == me ? 0 : 2;
        });
    });
    CHECK(status == 0);
}

TEST_CASE("threads that waited in the parent do not wait in the child") {
    Pipe pipe;
    int place = 0, went_on = 0;
    std::vector<Thread*> threads = {start([&] {
                                        wait_fd(pipe.first, EPOLLIN);
                                        ++went_on;
                                    }),
                                    start([&] {
                                        wait_address(&place);
                                        ++went_on;
                                    }),
                                    start([&] {
                                        sleep_for(5 * sys::millisecond);
                                        ++went_on;
                                    })};
    yield();
    int status = in_child([&] {
        scheduler_abandon();
        if (!everything_works()) return 1;
        if (wake_address(&place) != 0) return 2;
        sleep_for(10 * sys::millisecond);
        return went_on == 0 ? 0 : 3;
    });
    CHECK(status == 0);
    CHECK(went_on == 0);
    // ... and the child has taken nothing from the parent.
    put(pipe.second);
    wake_address(&place);
    join(threads);
    CHECK(went_on == 3);
}

TEST_CASE("a child in the midst of the parent's deadlines leaves them alone") {
    Wake why = Wake::ready;
    Thread* t = start([&] { why = sleep_for(20 * sys::millisecond); });
    yield();
    CHECK(in_child([] {
              scheduler_abandon();
              return timers.first() == nullptr ? 0 : 1;
          }) == 0);
    join(t);
    CHECK(why == Wake::timed_out);
}

TEST_SUITE_END();
