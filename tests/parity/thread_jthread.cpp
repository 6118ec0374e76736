// std::jthread: its destructor asks it to stop and joins it; stop tokens seen by polling, by
// callbacks (in the asking thread, or at once when already asked) and by condition_variable_any,
// which wakes.
//
// PARITY: switches=20 threads=14 timeout=20
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <stop_token>
#include <thread>
#include <vector>

#include "thread.h"

int main() {
    using namespace std::chrono_literals;
    std::atomic<int> ended = 0;
    {
        std::vector<std::jthread> all;
        for (int i = 0; i < 10; i++)
            all.emplace_back([&](std::stop_token token) {
                while (!token.stop_requested()) std::this_thread::sleep_for(1ms);
                ended++;
            });
        std::this_thread::sleep_for(5ms);
        CHECK(ended == 0);
    }
    printf("ended by their destructors: %d\n", ended.load());

    std::mutex mutex;
    std::condition_variable_any cond;
    bool woken_by_stop = false;
    std::jthread waiter([&](std::stop_token token) {
        std::unique_lock lock(mutex);
        woken_by_stop = !cond.wait(lock, token, [] { return false; });
    });
    std::this_thread::sleep_for(20ms);
    CHECK(waiter.request_stop());
    CHECK(!waiter.request_stop());
    waiter.join();
    printf("woken by the stop: %d\n", woken_by_stop);

    std::jthread timed([&](std::stop_token token) {
        std::unique_lock lock(mutex);
        CHECK(!cond.wait_for(lock, token, 20ms, [] { return false; }));
        CHECK(!token.stop_requested());
        CHECK(!cond.wait_for(lock, token, 60s, [] { return false; }));
        CHECK(token.stop_requested());
    });
    std::this_thread::sleep_for(50ms);
    timed.request_stop();
    timed.join();

    std::stop_source source;
    std::vector<int> order;
    std::stop_callback one(source.get_token(), [&] { order.push_back(1); });
    std::thread::id in_thread;
    std::stop_callback two(source.get_token(), [&] { in_thread = std::this_thread::get_id(); });
    std::jthread asker([&] { CHECK(source.request_stop()); });
    auto id = asker.get_id();
    asker.join();
    CHECK(in_thread == id);
    std::stop_callback late(source.get_token(), [&] { order.push_back(2); });
    printf("callbacks: %zu\n", order.size());

    // a callback that is running while another thread destroys it is waited for
    std::stop_source slow_source;
    std::atomic<bool> in_callback = false, done = false;
    auto slow =
        std::make_unique<std::stop_callback<std::function<void()>>>(slow_source.get_token(), [&] {
            in_callback = true;
            std::this_thread::sleep_for(30ms);
            done = true;
        });
    std::jthread stopper([&] { slow_source.request_stop(); });
    while (!in_callback) std::this_thread::sleep_for(1ms);
    slow.reset();
    printf("destroyed after its end: %d\n", done.load());
}
