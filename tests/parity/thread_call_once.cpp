// std::call_once: a callable that throws leaves the flag unset and its caller gets the exception;
// the next waiter runs it again, until one succeeds; then nobody does. Also function-local statics,
// whose initialisation waits and throws once (a guard in libstdc++, which waits on a futex of its
// own).
//
// PARITY: switches=100 threads=80
#include <atomic>
#include <chrono>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <vector>

#include "thread.h"

namespace {

constexpr int threads = 40;

void call_once_with_failures() {
    std::once_flag flag;
    std::atomic<int> runs = 0, caught = 0, after = 0;
    bool ready = false;
    std::vector<std::thread> all;
    for (int i = 0; i < threads; i++)
        all.emplace_back([&] {
            try {
                std::call_once(flag, [&] {
                    int run = ++runs;
                    std::this_thread::sleep_for(std::chrono::milliseconds(5));
                    if (run <= 3) throw std::runtime_error("not yet");
                    ready = true;
                });
                CHECK(ready);
                after++;
            } catch (std::runtime_error&) {
                caught++;
            }
        });
    for (std::thread& t : all) t.join();
    printf("call_once: %d runs, %d exceptions, %d went on\n", runs.load(), caught.load(),
           after.load());
}

std::atomic<int> constructions = 0;

struct Slow {
    int value;
    Slow() : value(0) {
        int number = ++constructions;
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
        if (number == 1) throw std::runtime_error("the first construction fails");
        value = 42;
    }
};

int local_static() {
    static Slow slow;
    return slow.value;
}

void static_with_failure() {
    std::atomic<int> caught = 0, right = 0;
    std::vector<std::thread> all;
    for (int i = 0; i < threads; i++)
        all.emplace_back([&] {
            try {
                if (local_static() == 42) right++;
            } catch (std::runtime_error&) {
                caught++;
            }
        });
    for (std::thread& t : all) t.join();
    printf("static: %d constructions, %d exceptions, %d right\n", constructions.load(),
           caught.load(), right.load());
}

}  // namespace

int main() {
    call_once_with_failures();
    static_with_failure();
}
