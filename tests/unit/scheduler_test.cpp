// Who runs when: parking and unparking, yielding, deadlines, fairness.

#include "runtime/scheduler.h"

#include <linux/seccomp.h>
#include <sys/auxv.h>
#include <sys/prctl.h>

#include "tests/unit/green_test.h"

using namespace green_test;

TEST_SUITE_BEGIN("scheduler");

TEST_CASE("starting twice is starting once") {
    Thread* me = self;
    CHECK(scheduler_start() == nullptr);
    CHECK(self == me);
    CHECK(thread_first() == me);
}

TEST_CASE("a thread runs only when the others give way") {
    bool ran = false;
    Thread* t = start([&] { ran = true; });
    CHECK(!ran);
    yield();
    CHECK(ran);
    join(t);
}

TEST_CASE("threads that yield take turns, in the order of their start") {
    std::vector<int> order;
    std::vector<Thread*> threads;
    for (int i = 0; i < 3; ++i) {
        threads.push_back(start([&order, i] {
            for (int round = 0; round < 3; ++round) {
                order.push_back(i);
                yield();
            }
        }));
    }
    join(threads);
    CHECK(order == std::vector<int>{0, 1, 2, 0, 1, 2, 0, 1, 2});
}

TEST_CASE("yielding alone returns") {
    for (int i = 0; i < 200; ++i) yield();
    CHECK(run_queue_empty());
}

TEST_CASE("a parked thread goes on when it is unparked, with the reason it is given") {
    for (Wake given : {Wake::ready, Wake::timed_out, Wake::interrupted}) {
        int steps = 0;
        Wake why = Wake::ready;
        Thread* t = start([&] {
            ++steps;
            why = park(Park::sleep);
            ++steps;
        });
        yield();
        yield();
        CHECK(steps == 1);
        CHECK(t->state == State::parked);
        unpark(t, given);
        CHECK(steps == 1);  // runnable, not running
        join(t);
        CHECK(steps == 2);
        CHECK(why == given);
    }
}

TEST_CASE("the first reason counts, and unparking twice is unparking once") {
    int woken = 0;
    Wake why = Wake::timed_out;
    Thread* t = start([&] {
        why = park(Park::sleep);
        ++woken;
        park(Park::sleep);
        ++woken;
    });
    yield();
    unpark(t, Wake::ready);
    unpark(t, Wake::interrupted);
    yield();
    yield();
    CHECK(woken == 1);
    CHECK(why == Wake::ready);
    unpark(t);
    join(t);
}

TEST_CASE("unparking what is not parked has no effect") {
    unpark(self);
    CHECK(run_queue_empty());
    Thread* t = start([] {});
    unpark(t);
    yield();
    CHECK(t->state == State::ended);
    unpark(t);
    CHECK(run_queue_empty());
    join(t);
}

TEST_CASE("an interruption ends a wait, or the next one if there is none") {
    std::vector<Wake> woken;
    Thread* t = start([&] {
        woken.push_back(park(Park::sleep));
        woken.push_back(park(Park::sleep));
        woken.push_back(park(Park::sleep, sys::after(sys::millisecond)));
    });
    yield();
    interrupt(t);  // it waits
    interrupt(t);  // it is about to run
    join(t);
    CHECK(woken == std::vector<Wake>{Wake::interrupted, Wake::interrupted, Wake::timed_out});
}

TEST_CASE("a deadline ends a park, and not before its time") {
    for (uint64_t ns : {uint64_t{1}, 100 * uint64_t{1000}, 3 * sys::millisecond}) {
        sys::Deadline deadline = sys::after(ns);
        CHECK(park(Park::sleep, deadline) == Wake::timed_out);
        CHECK(sys::now() >= deadline);
    }
}

TEST_CASE("a deadline in the past still lets the others run") {
    bool ran = false;
    Thread* t = start([&] { ran = true; });
    CHECK(park(Park::sleep, 1) == Wake::timed_out);
    CHECK(ran);
    join(t);
}

TEST_CASE("deadlines pass in their order, whatever the order of the parks") {
    std::vector<int> order;
    std::vector<Thread*> threads;
    sys::Deadline start_time = sys::now();
    for (int ms : {30, 10, 20}) {
        threads.push_back(start([&order, ms, start_time] {
            park(Park::sleep, start_time + ms * sys::millisecond);
            order.push_back(ms);
        }));
    }
    join(threads);
    CHECK(order == std::vector<int>{10, 20, 30});
}

TEST_CASE("a deadline that was met in time is forgotten") {
    Wake first = Wake::timed_out, second = Wake::timed_out;
    Thread* t = start([&] {
        first = park(Park::sleep, sys::after(5 * sys::millisecond));
        second = park(Park::sleep);
    });
    yield();
    unpark(t);
    yield();
    CHECK(timers.first() == nullptr);
    sleep_for(10 * sys::millisecond);
    CHECK(t->state == State::parked);
    unpark(t);
    join(t);
    CHECK(first == Wake::ready);
    CHECK(second == Wake::ready);
}

TEST_CASE("threads that only yield keep neither a deadline nor a descriptor waiting") {
    bool slept = false, read_it = false;
    Pipe pipe;
    Thread* sleeper = start([&] {
        sleep_for(sys::millisecond);
        slept = true;
        put(pipe.second);
    });
    Thread* reader = start([&] {
        CHECK(wait_fd(pipe.first, EPOLLIN) == Wake::ready);
        read_it = true;
    });
    auto busy = [&] {
        sys::Deadline too_late = sys::after(10 * sys::second);
        while (!(slept && read_it) && sys::now() < too_late) yield();
    };
    std::vector<Thread*> threads = {start(busy), start(busy), sleeper, reader};
    busy();
    CHECK(slept);
    CHECK(read_it);
    unpark(reader);
    join(threads);
}

TEST_CASE("calls that never block give way after some hundred of them") {
    int calls = 0, calls_when_it_ran = 0;
    Thread* t = start([&] { calls_when_it_ran = calls; });
    while (calls < 1000 && calls_when_it_ran == 0) {
        ++calls;
        count_unparked_call();
    }
    CHECK(calls_when_it_ran > 10);
    CHECK(calls_when_it_ran < 1000);
    join(t);
}

TEST_CASE("ten thousand threads take turns") {
    constexpr int many = most_threads, rounds = 5;
    std::vector<Thread*> threads;
    threads.reserve(many);
    int running = 0, most_ahead = 0;
    std::vector<int> done(rounds);
    for (int i = 0; i < many; ++i) {
        threads.push_back(start([&] {
            ++running;
            for (int round = 0; round < rounds; ++round) {
                ++done[round];
                // Nobody starts a round before all have started the one before it.
                if (round > 0 && done[round - 1] != many) ++most_ahead;
                yield();
            }
        }));
    }
    join(threads);
    CHECK(running == many);
    CHECK(done == std::vector<int>(rounds, many));
    CHECK(most_ahead == 0);
}

TEST_CASE("ten thousand deadlines in any order pass in order") {
    constexpr int many = most_threads;
    std::vector<Thread*> threads;
    threads.reserve(many);
    sys::Deadline begin = sys::now();
    sys::Deadline last = 0;
    bool in_order = true, early = false;
    for (uint64_t i = 0; i < many; ++i) {
        sys::Deadline deadline = begin + (i * 7919 % many) * 5000;  // within 50 ms
        threads.push_back(start([&, deadline] {
            // Those that are due already when they park run in the order of their parks.
            bool due = deadline <= sys::after(20 * sys::millisecond);
            park(Park::sleep, deadline);
            early = early || sys::now() < deadline;
            if (due) return;
            in_order = in_order && deadline >= last;
            last = deadline;
        }));
    }
    join(threads);
    CHECK(in_order);
    CHECK(!early);
}

// In a process that the kernel kills at its first system call but exit(2): see context_test.cpp.
TEST_CASE("parking on an address and waking make no system call while somebody can run") {
#if defined(GREEN_SWITCH_IS_ASM) && !defined(__SANITIZE_THREAD__)
    constexpr unsigned long hwcap2_fsgsbase = 1UL << 1;
    if ((getauxval(AT_HWCAP2) & hwcap2_fsgsbase) == 0) return;
    int turn = 0;
    Thread* partner = start([&] {
        while (turn >= 0) {
            wait_address(&turn);
            ++turn;
            wake_address(&turn + 1);
        }
    });
    yield();
    yield();  // the partner waits, and the loop was asked just now
    int status = in_child([&] {
        if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) != 0) return 2;
        for (int i = 0; i < 20; ++i) {  // fewer switches than the loop allows between two looks
            wake_address(&turn);
            wait_address(&turn + 1);
        }
        sys::invoke(SYS_exit, turn == 20 ? 0 : 1);
        return 3;
    });
    turn = -2;
    wake_address(&turn);
    join(partner);
    if (status == 2) MESSAGE("no seccomp(2) here");
    CHECK((status == 0 || status == 2));
#endif
}

TEST_SUITE_END();
