// Waiting on an address: order, counts, tags, requeueing, time-outs.

#include "runtime/parking_lot.h"

#include "tests/unit/green_test.h"

using namespace green_test;

TEST_SUITE_BEGIN("parking_lot");

namespace {

int place, other_place;

// Threads that wait on an address and write their number down when they go on.
struct Waiters {
    std::vector<int> woken;
    std::vector<Thread*> threads;

    Thread* add(const void* address, uint32_t tag = 0, bool first = false) {
        auto number = static_cast<int>(threads.size());
        threads.push_back(start([=, this] {
            CHECK(wait_address(address, sys::never, tag, first) == Wake::ready);
            woken.push_back(number);
        }));
        yield();
        return threads.back();
    }
    ~Waiters() { join(threads); }
};

}  // namespace

TEST_CASE("waking nobody wakes nobody") {
    CHECK(wake_address(&place) == 0);
    CHECK(!address_has_waiters(&place));
}

TEST_CASE("waiters of one address are woken first in, first out") {
    Waiters w;
    for (int i = 0; i < 5; ++i) w.add(&place);
    CHECK(wake_address(&place) == 1);
    CHECK(wake_address(&place, 2) == 2);
    CHECK(wake_address(&place, UINT32_MAX) == 2);
    CHECK(!address_has_waiters(&place));
    yield();
    CHECK(w.woken == std::vector<int>{0, 1, 2, 3, 4});
}

TEST_CASE("the first place in the queue can be claimed") {
    Waiters w;
    w.add(&place);
    w.add(&place, 0, true);
    wake_address(&place, 2);
    yield();
    CHECK(w.woken == std::vector<int>{1, 0});
}

TEST_CASE("another address is another queue") {
    Waiters w;
    w.add(&place);
    CHECK(wake_address(&other_place) == 0);
    CHECK(address_has_waiters(&place));
    CHECK(!address_has_waiters(&other_place));
    CHECK(wake_address(&place) == 1);
}

TEST_CASE("a tag chooses among the waiters") {
    Waiters w;
    w.add(&place, 1);
    w.add(&place, 2);
    w.add(&place, 3);
    CHECK(address_has_waiters(&place, 2));
    CHECK(!address_has_waiters(&place, 4));
    CHECK(wake_address_tagged(&place, UINT32_MAX, 2) == 2);
    yield();
    CHECK(w.woken == std::vector<int>{1, 2});
    CHECK(!address_has_waiters(&place, 2));
    CHECK(wake_address_tagged(&place, UINT32_MAX, 1) == 1);
}

TEST_CASE("one without a tag answers to all") {
    Waiters w;
    w.add(&place);
    CHECK(wake_address_tagged(&place, 1, 1U << 20) == 1);
}

TEST_CASE("who is requeued sleeps on, at the end of the other queue") {
    Waiters w;
    w.add(&other_place);
    w.add(&place);
    w.add(&place);
    w.add(&place);
    CHECK(requeue_address(&place, &other_place, 2) == 2);
    yield();
    CHECK(w.woken.empty());
    CHECK(wake_address(&other_place, UINT32_MAX) == 3);
    CHECK(wake_address(&place, UINT32_MAX) == 1);
    yield();
    CHECK(w.woken == std::vector<int>{0, 1, 2, 3});
}

TEST_CASE("requeueing to the same address changes nothing") {
    Waiters w;
    w.add(&place);
    w.add(&place);
    CHECK(requeue_address(&place, &place, 1) == 0);
    wake_address(&place, 2);
    yield();
    CHECK(w.woken == std::vector<int>{0, 1});
}

TEST_CASE("a time-out takes the waiter out of its queue") {
    CHECK(wait_address(&place, sys::after(sys::millisecond)) == Wake::timed_out);
    CHECK(!address_has_waiters(&place));
    CHECK(wake_address(&place) == 0);
}

TEST_CASE("a time-out finds a waiter that was requeued") {
    Thread* t = start(
        [] { CHECK(wait_address(&place, sys::after(5 * sys::millisecond)) == Wake::timed_out); });
    yield();
    CHECK(requeue_address(&place, &other_place, 1) == 1);
    join(t);
    CHECK(!address_has_waiters(&other_place));
}

TEST_CASE("one who timed out, but has not run yet, takes no wake-up from another") {
    Wake one_why = Wake::ready, two_why = Wake::timed_out;
    Thread* one = start([&] { one_why = wait_address(&place); });
    Thread* two = start([&] { two_why = wait_address(&place); });
    yield();
    unpark(one, Wake::timed_out);
    CHECK(wake_address(&place) == 1);
    join({one, two});
    CHECK(one_why == Wake::timed_out);
    CHECK(two_why == Wake::ready);
}

TEST_CASE("the table grows with its waiters and loses none") {
    constexpr int many = most_threads / 2;
    std::vector<int> places(many), order;
    std::vector<Thread*> threads;
    threads.reserve(2 * many);
    for (int i = 0; i < 2 * many; ++i) {  // two for each place
        threads.push_back(start([&, i] {
            wait_address(&places[i % many]);
            order.push_back(i);
        }));
    }
    yield();
    int woken = 0;
    for (int i = many - 1; i >= 0; --i) woken += wake_address(&places[i]) == 1;
    CHECK(woken == many);
    yield();
    bool right = order.size() == many;
    for (int i = 0; right && i < many; ++i) right = order[i] == many - 1 - i;
    CHECK(right);
    for (int i = 0; i < many; ++i) woken += wake_address(&places[i]) == 1;
    CHECK(woken == 2 * many);
    join(threads);
}

TEST_SUITE_END();
