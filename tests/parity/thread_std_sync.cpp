// C++ synchronisation: condition_variable and condition_variable_any with predicates and deadlines,
// shared_mutex and the timed mutexes, scoped_lock over several, and of C++20 counting_semaphore,
// latch, barrier with a completion function, and atomic wait and notify.
//
// PARITY: switches=500 threads=148
#include <algorithm>
#include <atomic>
#include <barrier>
#include <chrono>
#include <condition_variable>
#include <latch>
#include <mutex>
#include <semaphore>
#include <shared_mutex>
#include <thread>
#include <vector>

#include "thread.h"

namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

std::vector<std::thread> make(int count, auto body) {
    std::vector<std::thread> all;
    for (int i = 0; i < count; i++) all.emplace_back(body, i);
    return all;
}

void join(std::vector<std::thread> all) {
    for (std::thread& t : all) t.join();
}

void condition_variables() {
    std::mutex mutex;
    std::condition_variable cond;
    std::condition_variable_any any;
    int turn = 0;
    auto all = make(20, [&](int i) {
        std::unique_lock lock(mutex);
        if (i % 2)
            cond.wait(lock, [&] { return turn == i; });
        else
            any.wait(lock, [&] { return turn == i; });
        turn++;
        cond.notify_all();
        any.notify_all();
    });
    join(std::move(all));
    printf("turn: %d\n", turn);

    std::unique_lock lock(mutex);
    auto begun = Clock::now();
    CHECK(!cond.wait_for(lock, 20ms, [] { return false; }));
    CHECK(Clock::now() - begun >= 20ms);
    auto end = std::chrono::system_clock::now() + 20ms;
    CHECK(!cond.wait_until(lock, end, [] { return false; }));
    CHECK(std::chrono::system_clock::now() >= end);
    CHECK(!any.wait_for(lock, 20ms, [] { return false; }));
    CHECK(lock.owns_lock());
    std::thread later([&] {
        std::this_thread::sleep_for(20ms);
        std::lock_guard guard(mutex);
        turn = -1;
        any.notify_one();
    });
    CHECK(any.wait_for(lock, 60s, [&] { return turn == -1; }));
    lock.unlock();
    later.join();
    puts("condition variables");
}

void mutexes() {
    std::shared_mutex shared;
    std::atomic<int> readers = 0;
    std::latch together(10);
    long left = 0, right = 0;
    join(make(10, [&](int) {
        std::shared_lock lock(shared);
        readers++;
        together.arrive_and_wait();
        CHECK(!shared.try_lock());
    }));
    join(make(30, [&](int i) {
        for (int k = 0; k < 10; k++) {
            if (i % 3 == 0) {
                std::unique_lock lock(shared);
                left++;
                std::this_thread::yield();
                right++;
            } else {
                std::shared_lock lock(shared);
                long seen = left;
                std::this_thread::yield();
                CHECK(seen == right);
            }
        }
    }));
    printf("shared_mutex: %d readers at once, %ld writes\n", readers.load(), right);

    std::timed_mutex timed;
    std::recursive_timed_mutex recursive;
    std::shared_timed_mutex shared_timed;
    std::unique_lock a(timed);
    std::unique_lock b(recursive);
    std::unique_lock c(shared_timed);
    CHECK(recursive.try_lock_for(1ms));
    recursive.unlock();
    join(make(3, [&](int i) {
        auto begun = Clock::now();
        bool got = i == 0   ? timed.try_lock_for(20ms)
                   : i == 1 ? recursive.try_lock_until(Clock::now() + 20ms)
                            : shared_timed.try_lock_shared_for(20ms);
        CHECK(!got && Clock::now() - begun >= 20ms);
    }));
    std::thread gets([&] { CHECK(timed.try_lock_until(std::chrono::system_clock::now() + 60s)); });
    std::this_thread::sleep_for(10ms);
    a.unlock();
    gets.join();

    std::mutex fork[5];
    long meals = 0;
    std::mutex meals_mutex;
    join(make(5, [&](int i) {
        for (int k = 0; k < 20; k++) {
            std::scoped_lock both(fork[i], fork[(i + 1) % 5]);
            std::this_thread::yield();
            std::lock_guard guard(meals_mutex);
            meals++;
        }
    }));
    printf("philosophers: %ld meals\n", meals);
}

void semaphores_latches_barriers() {
    std::counting_semaphore<3> permits(3);
    std::atomic<int> inside = 0;
    join(make(20, [&](int) {
        permits.acquire();
        CHECK(++inside <= 3);
        std::this_thread::sleep_for(1ms);
        --inside;
        permits.release();
    }));
    std::binary_semaphore none(0);
    CHECK(!none.try_acquire());
    auto begun = Clock::now();
    CHECK(!none.try_acquire_for(20ms));
    CHECK(Clock::now() - begun >= 20ms);
    std::thread releaser([&] {
        std::this_thread::sleep_for(20ms);
        none.release();
    });
    CHECK(none.try_acquire_for(60s));
    releaser.join();
    puts("semaphores");

    std::latch started(10), go(1);
    std::atomic<int> gone = 0;
    auto all = make(10, [&](int) {
        started.count_down();
        go.wait();
        gone++;
    });
    started.wait();
    CHECK(gone == 0);
    go.count_down();
    join(std::move(all));
    printf("latch: %d\n", gone.load());

    int phases = 0;
    std::atomic<int> arrived = 0;
    std::barrier barrier(16, [&]() noexcept {
        CHECK(arrived == 16 * (phases + 1));
        phases++;
    });
    join(make(16, [&](int) {
        for (int k = 0; k < 20; k++) {
            arrived++;
            barrier.arrive_and_wait();
        }
    }));
    printf("barrier: %d phases\n", phases);
}

template <class T>
void atomic_wait(const char* name) {
    std::atomic<T> turn = 0;
    long sum = 0;
    join(make(10, [&](int i) {
        for (;;) {
            T now = turn.load();
            if (now == T(i)) break;
            turn.wait(now);
        }
        sum += i;
        turn.store(T(i + 1));
        turn.notify_all();
    }));
    printf("atomic<%s>: %ld\n", name, sum);
}

}  // namespace

int main() {
    condition_variables();
    mutexes();
    semaphores_latches_barriers();
    atomic_wait<int>("int");
    atomic_wait<long>("long");
    atomic_wait<char>("char");
    std::atomic_flag flag;
    std::thread setter([&] {
        std::this_thread::sleep_for(10ms);
        flag.test_and_set();
        flag.notify_one();
    });
    flag.wait(false);
    setter.join();
    puts("atomic_flag");
}
