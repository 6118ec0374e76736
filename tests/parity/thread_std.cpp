// C++ threads: std::thread with arguments, ids and moves, std::async, packaged_task, promise and
// future with values, exceptions and timeouts, shared_future, this_thread, thread_local, and what
// joining wrongly throws.
//
// PARITY: switches=100 threads=80
#include <algorithm>
#include <chrono>
#include <functional>
#include <future>
#include <numeric>
#include <set>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "thread.h"

namespace {

using namespace std::chrono_literals;

thread_local std::string own = "fresh";

void threads_and_ids() {
    std::vector<std::thread> all;
    std::vector<std::thread::id> ids(20);
    std::vector<std::string> texts(20);
    for (size_t i = 0; i < ids.size(); i++)
        all.emplace_back(
            [&](size_t k, std::string text) {
                CHECK(own == "fresh");
                own = text + " " + std::to_string(k);
                std::this_thread::sleep_for(1ms);
                ids[k] = std::this_thread::get_id();
                texts[k] = own;
            },
            i, "thread");
    std::set<std::thread::id> from_outside;
    for (std::thread& t : all) from_outside.insert(t.get_id());
    for (std::thread& t : all) t.join();
    CHECK(from_outside == std::set(ids.begin(), ids.end()) && from_outside.size() == ids.size());
    printf("%s, %s, main: %s\n", texts.front().c_str(), texts.back().c_str(), own.c_str());
    std::thread empty;
    try {
        empty.join();
    } catch (std::system_error& e) {
        printf("join of nothing: %s\n", e.code() == std::errc::invalid_argument ? "EINVAL" : "?");
    }
    std::promise<std::thread*> itself;
    std::promise<const char*> what;
    std::thread joins_itself([&] {
        try {
            itself.get_future().get()->join();
        } catch (std::system_error& e) {
            bool right = e.code() == std::errc::resource_deadlock_would_occur;
            what.set_value(right ? "EDEADLK" : "?");
        }
    });
    itself.set_value(&joins_itself);
    printf("join of oneself: %s\n", what.get_future().get());
    std::thread moved = std::move(joins_itself);
    CHECK(!joins_itself.joinable());
    moved.join();
    CHECK(std::thread::hardware_concurrency() >= 1);
}

long fibonacci(int n) {
    if (n < 2) return n;
    auto other = std::async(n > 6 ? std::launch::async : std::launch::deferred, fibonacci, n - 2);
    long mine = fibonacci(n - 1);
    return mine + other.get();
}

void futures() {
    printf("fibonacci: %ld\n", fibonacci(13));
    std::promise<int> promise;
    std::future<int> future = promise.get_future();
    CHECK(future.wait_for(10ms) == std::future_status::timeout);
    CHECK(future.wait_until(std::chrono::system_clock::now() + 10ms) ==
          std::future_status::timeout);
    std::thread setter([&] {
        std::this_thread::sleep_for(20ms);
        promise.set_value(7);
    });
    CHECK(future.wait_for(60s) == std::future_status::ready);
    printf("promise: %d\n", future.get());
    setter.join();

    auto failing = std::async(std::launch::async, []() -> int {
        std::this_thread::sleep_for(5ms);
        throw std::out_of_range("from a thread");
    });
    try {
        failing.get();
    } catch (std::out_of_range& e) {
        printf("exception: %s\n", e.what());
    }

    std::packaged_task<int(int)> task([](int n) { return n * n; });
    auto result = task.get_future();
    std::thread runner(std::move(task), 12);
    printf("task: %d\n", result.get());
    runner.join();

    std::promise<void> abandoned;
    auto broken = abandoned.get_future();
    std::thread([p = std::move(abandoned)]() mutable { std::this_thread::sleep_for(5ms); }).join();
    try {
        broken.get();
    } catch (std::future_error& e) {
        printf("abandoned: %s\n", e.code() == std::future_errc::broken_promise ? "broken" : "?");
    }

    std::promise<int> start;
    std::shared_future<int> shared = start.get_future().share();
    std::vector<std::future<int>> waiting;
    for (int i = 0; i < 20; i++)
        waiting.push_back(std::async(std::launch::async, [shared, i] { return shared.get() + i; }));
    start.set_value(100);
    int sum = 0;
    for (auto& f : waiting) sum += f.get();
    printf("shared: %d\n", sum);

    std::promise<int> at_exit;
    auto late = at_exit.get_future();
    std::thread ending([&] { at_exit.set_value_at_thread_exit(9); });
    printf("at thread exit: %d\n", late.get());
    ending.join();
}

}  // namespace

int main() {
    threads_and_ids();
    futures();
    // an exception that leaves a thread's function ends the process; the handler sees it
    std::set_terminate([] {
        try {
            std::rethrow_exception(std::current_exception());
        } catch (std::exception& e) {
            printf("uncaught in a thread: %s\n", e.what());
        }
        exit(0);
    });
    std::thread([] {
        std::this_thread::sleep_for(1ms);
        throw std::runtime_error("nobody catches this");
    }).join();
    return 1;
}
