// The deadlines' heap against a std::multimap that does the same slowly.

#include "runtime/timers.h"

#include <map>
#include <random>

#include "tests/unit/green_test.h"

using namespace green_test;

TEST_SUITE_BEGIN("timers");

TEST_CASE("an empty heap has no deadline") {
    TimerHeap heap;
    CHECK(heap.next() == sys::never);
    CHECK(heap.first() == nullptr);
}

TEST_CASE("deadlines come out in order") {
    TimerHeap heap;
    TimerNode nodes[5];
    const sys::Deadline deadlines[] = {30, 10, 50, 20, 40};
    for (int i = 0; i < 5; ++i) {
        nodes[i].deadline = deadlines[i];
        heap.add(&nodes[i]);
    }
    for (sys::Deadline expected = 10; expected <= 50; expected += 10) {
        REQUIRE(heap.next() == expected);
        heap.remove(heap.first());
    }
    CHECK(heap.first() == nullptr);
}

TEST_CASE("removing what is not queued has no effect") {
    TimerHeap heap;
    TimerNode queued, stranger;
    queued.deadline = 1;
    heap.add(&queued);
    heap.remove(&stranger);
    CHECK(heap.first() == &queued);
    heap.remove(&queued);
    heap.remove(&queued);
    CHECK(heap.first() == nullptr);
}

TEST_CASE("a cleared heap is empty and may be used again") {
    TimerHeap heap;
    TimerNode old, young;
    old.deadline = young.deadline = 1;
    heap.add(&old);
    heap.clear();
    CHECK(heap.first() == nullptr);
    heap.add(&young);
    CHECK(heap.first() == &young);
}

TEST_CASE("a million deadlines need no deep stack") {
    run(
        [] {
            TimerHeap heap;
            std::vector<TimerNode> nodes(1'000'000);
            for (size_t i = 0; i < nodes.size(); ++i) {
                nodes[i].deadline = i % 2 == 0 ? nodes.size() - i : i;
                heap.add(&nodes[i]);
            }
            sys::Deadline last = 0;
            bool in_order = true;
            while (heap.first() != nullptr) {
                in_order = in_order && heap.next() >= last;
                last = heap.next();
                heap.remove(heap.first());
            }
            CHECK(in_order);
        },
        {.stack_size = 65536});
}

TEST_CASE("whatever is added and removed, the heap and a multimap agree") {
    for (unsigned seed = 0; seed < 20; ++seed) {
        CAPTURE(seed);
        std::mt19937 random(seed);
        TimerHeap heap;
        std::vector<TimerNode> nodes(300);
        std::multimap<sys::Deadline, TimerNode*> model;
        auto remove = [&](TimerNode* node) {
            auto [from, to] = model.equal_range(node->deadline);
            for (auto i = from; i != to; ++i) {
                if (i->second != node) continue;
                model.erase(i);
                break;
            }
            heap.remove(node);
        };
        for (int step = 0; step < 10000; ++step) {
            TimerNode* node = &nodes[random() % nodes.size()];
            if (random() % 4 == 0 && heap.first() != nullptr) node = heap.first();
            if (node->queued) {
                remove(node);
            } else {
                node->deadline = random() % 100;  // many are equal
                heap.add(node);
                model.emplace(node->deadline, node);
            }
            REQUIRE(heap.next() == (model.empty() ? sys::never : model.begin()->first));
        }
        while (!model.empty()) {
            REQUIRE(heap.next() == model.begin()->first);
            remove(heap.first());
        }
        CHECK(heap.first() == nullptr);
    }
}

TEST_SUITE_END();
