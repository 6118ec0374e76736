// The loop: libev's watchers and the threads' own waits in one system call.

#include "runtime/loop.h"

#include <ev.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include <thread>

#include "tests/unit/green_test.h"

using namespace green_test;

TEST_SUITE_BEGIN("loop");

namespace {

// What a libev callback saw, and the thread that waits for it.
struct Seen {
    Thread* waiter = self;
    int calls = 0;
    bool in_the_loop = false;
    bool self_is_null = false;

    template <class Watcher>
    static void callback(struct ev_loop*, Watcher* w, int) {
        auto* seen = static_cast<Seen*>(w->data);
        ++seen->calls;
        seen->in_the_loop = in_loop();
        seen->self_is_null = self == nullptr;
        unpark(seen->waiter);
    }
    void check_once() const {
        CHECK(calls == 1);
        CHECK(in_the_loop);
        CHECK(self_is_null);
    }
};

constexpr uint64_t long_enough = 10 * sys::second;

}  // namespace

TEST_CASE("a program's thread is not in the loop") {
    CHECK(!in_loop());
    run([] { CHECK(!in_loop()); });
}

TEST_CASE("a timer of libev fires while all threads wait") {
    Seen seen;
    ev_timer timer;
    ev_timer_init(&timer, Seen::callback<ev_timer>, 0.005, 0);
    timer.data = &seen;
    ev_now_update(loop_libev());
    sys::Deadline due = sys::after(5 * sys::millisecond);
    ev_timer_start(loop_libev(), &timer);
    CHECK(park(Park::sleep, sys::after(long_enough)) == Wake::ready);
    CHECK(sys::now() + sys::millisecond >= due);  // libev's clock is a rounded double
    seen.check_once();
}

TEST_CASE("a timer of libev fires while threads run") {
    Seen seen;
    ev_timer timer;
    ev_timer_init(&timer, Seen::callback<ev_timer>, 0.005, 0);
    timer.data = &seen;
    ev_timer_start(loop_libev(), &timer);
    auto busy = [&] {
        sys::Deadline too_late = sys::after(long_enough);
        while (seen.calls == 0 && sys::now() < too_late) yield();
    };
    Thread* other = start(busy);
    busy();
    join(other);
    seen.check_once();
}

TEST_CASE("a descriptor of libev is watched beside ours") {
    Seen seen;
    Pipe libevs, ours;
    ev_io io;
    ev_io_init(&io, Seen::callback<ev_io>, libevs.first, EV_READ);
    io.data = &seen;
    ev_io_start(loop_libev(), &io);
    Thread* t = start([&] {
        CHECK(wait_fd(ours.first, EPOLLIN) == Wake::ready);
        put(libevs.second);
    });
    yield();
    put(ours.second);
    CHECK(park(Park::sleep, sys::after(long_enough)) == Wake::ready);
    ev_io_stop(loop_libev(), &io);
    join(t);
    CHECK(seen.calls >= 1);
    CHECK(seen.in_the_loop);
}

TEST_CASE("another kernel thread wakes the loop") {
    Seen seen;
    ev_async async;
    ev_async_init(&async, Seen::callback<ev_async>);
    async.data = &seen;
    struct ev_loop* libev = loop_libev();
    ev_async_start(libev, &async);
    bool null_there = false;
    std::thread helper([&] {
        null_there = self == nullptr && owner == nullptr && !in_loop();
        usleep(5000);
        ev_async_send(libev, &async);
    });
    CHECK(park(Park::sleep, sys::after(long_enough)) == Wake::ready);
    helper.join();
    ev_async_stop(libev, &async);
    CHECK(null_there);
    seen.check_once();
}

TEST_CASE("another kernel thread wakes the loop without libev") {
    static Thread* waiter;
    static bool in_the_loop;
    waiter = self;
    auto* before = std::exchange(loop_on_wake, [] {
        in_the_loop = in_loop();
        unpark(waiter);
    });
    std::thread helper([] {
        usleep(5000);
        loop_wake();
    });
    CHECK(park(Park::sleep, sys::after(long_enough)) == Wake::ready);
    helper.join();
    loop_on_wake = before;
    CHECK(in_the_loop);
}

TEST_CASE("a wake-up before the wait is not lost") {
    static int wakes;
    wakes = 0;
    auto* before = std::exchange(loop_on_wake, [] { ++wakes; });
    loop_wake();
    loop_wake();
    sleep_for(sys::millisecond);
    loop_on_wake = before;
    CHECK(wakes == 1);
}

TEST_CASE("a callback may start a thread") {
    int ran = 0;
    Thread* t = make([&] { ++ran; });
    ev_timer timer;
    ev_timer_init(
        &timer,
        [](struct ev_loop*, ev_timer* w, int) { thread_start(static_cast<Thread*>(w->data)); },
        0.001, 0);
    timer.data = t;
    ev_timer_start(loop_libev(), &timer);
    while (t->state != State::ended) CHECK(wait_address(t, sys::after(long_enough)) == Wake::ready);
    join(t);
    CHECK(ran == 1);
}

TEST_CASE("no sleep is too short") {
    for (uint64_t ns : {1'000, 50'000, 100'000, 999'999, 1'000'001, 2'500'000}) {
        for (int i = 0; i < 5; ++i) {
            uint64_t begin = sys::now();
            CHECK(sleep_for(ns) == Wake::timed_out);
            CHECK(sys::now() - begin >= ns);
        }
    }
}

TEST_CASE("a sleep costs one wait") {
    sleep_for(sys::millisecond);
    uint64_t polls = stats.loop_polls;
    sleep_for(sys::millisecond);
    CHECK(stats.loop_polls - polls == 1);
}

TEST_CASE("the loop's time goes on") {
    uint64_t before = loop_time();
    sleep_for(sys::millisecond);
    CHECK(loop_time() > before);
    CHECK(loop_time() <= sys::now());
}

TEST_CASE("the loop's descriptors are out of the program's way, and closed by exec") {
    sleep_for(1);
    rlimit limit = {};
    REQUIRE(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    int highest = loop_highest_fd(), ours = 0;
    REQUIRE(highest >= 0);
    for (int fd = 0; fd <= highest; ++fd) {
        if (!loop_owns_fd(fd)) continue;
        ++ours;
        CHECK(static_cast<rlim_t>(fd) + 64 >= limit.rlim_cur);
        CHECK(fcntl(fd, F_GETFD) == FD_CLOEXEC);
    }
    CHECK(ours >= 2);  // our epoll set and libev's
    CHECK(!loop_owns_fd(-1));
    CHECK(!loop_owns_fd(0));
}

TEST_CASE("the loop's descriptors are known before the first wait") {
    int status = in_child([] {
        scheduler_abandon();
        if (scheduler_start() != nullptr) return 100;
        auto owned = [] {
            int n = 0;
            for (int fd = 0; fd <= loop_highest_fd(); ++fd) n += loop_owns_fd(fd);
            return n;
        };
        int before = owned();
        sleep_for(1);
        return owned() - before;
    });
    CHECK(status == 0);
}

TEST_CASE("moving a descriptor closes the old number and keeps the limit") {
    rlimit before = {}, after = {};
    getrlimit(RLIMIT_NOFILE, &before);
    int low = open("/dev/null", O_RDONLY);
    int high = move_fd_high(low);
    getrlimit(RLIMIT_NOFILE, &after);
    CHECK(high > low);
    CHECK(fcntl(low, F_GETFD) == -1);
    CHECK(fcntl(high, F_GETFD) == FD_CLOEXEC);
    CHECK(after.rlim_cur == before.rlim_cur);
    close(high);
    CHECK(move_fd_high(-EMFILE) == -EMFILE);
}

TEST_CASE("a small limit of descriptors is room enough") {
    int status = in_child([] {
        rlimit limit = {20, 20};
        if (setrlimit(RLIMIT_NOFILE, &limit) != 0) return 1;
        int high = move_fd_high(open("/dev/null", O_RDONLY));
        return high >= 3 && high < 20 ? 0 : 2;
    });
    CHECK(status == 0);
}

TEST_SUITE_END();
