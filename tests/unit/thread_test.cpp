// Green threads: identity, memory, what is each thread's own, and the end.

#include "runtime/thread.h"

#include <limits.h>
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include <set>
#include <string>

#include "tests/unit/green_test.h"

using namespace green_test;

TEST_SUITE_BEGIN("thread");

namespace {
__thread int local = 1;
}  // namespace

TEST_CASE("a thread is found by its block until its memory is given back") {
    Thread* t = start([] { CHECK(thread_of(context_fs()) == self); });
    CHECK(thread_of(t->block) == t);
    yield();
    CHECK(t->state == State::ended);
    CHECK(thread_of(t->block) == t);
    void* block = t->block;
    join(t);
    CHECK(thread_of(block) == nullptr);
}

TEST_CASE("self and owner are the running thread") {
    Thread* main = self;
    Thread *seen_self = nullptr, *seen_owner = nullptr;
    Thread* t = start([&] {
        seen_self = self;
        yield();
        seen_owner = owner;
    });
    while (t->state != State::ended) {
        CHECK(self == main);
        CHECK(owner == main);
        yield();
    }
    CHECK(seen_self == t);
    CHECK(seen_owner == t);
    join(t);
}

TEST_CASE("thread ids are unlike each other's and unlike the kernel's") {
    std::set<pid_t> seen;
    for (int i = 0; i < 100; ++i) {
        Thread* t = make([] {});
        CHECK(t->tid >= 1 << 22);
        CHECK(t->tid <= 1 << 30);
        CHECK(seen.insert(t->tid).second);
        thread_start(t);
        join(t);
    }
}

TEST_CASE("those that are alive are listed, and counted") {
    auto listed = [](Thread* which) {
        int n = 0;
        for (Thread* t = threads_alive(); t != nullptr; t = t->next_alive) n += t == which;
        return n;
    };
    uint64_t made = stats.threads_made, alive = stats.threads_alive;
    Thread* t = make([] {});
    CHECK(listed(t) == 0);
    thread_start(t);
    CHECK(listed(t) == 1);
    CHECK(listed(self) == 1);
    CHECK(stats.threads_alive == alive + 1);
    CHECK(stats.threads_peak >= alive + 1);
    yield();
    CHECK(listed(t) == 0);
    CHECK(stats.threads_alive == alive);
    CHECK(stats.threads_made == made + 1);
    join(t);
}

TEST_CASE("errno and thread-local variables are each thread's own") {
    std::vector<Thread*> threads;
    errno = 1000;
    local = 1000;
    for (int i = 0; i < 100; ++i) {
        threads.push_back(start([i] {
            CHECK(errno == 0);
            CHECK(local == 1);
            for (int round = 0; round < 3; ++round) {
                errno = i + round;
                local = -i;
                yield();
                CHECK(errno == i + round);
                CHECK(local == -i);
            }
        }));
    }
    join(threads);
    CHECK(errno == 1000);
    CHECK(local == 1000);
    local = 1;
}

TEST_CASE("an exception in flight stays with its thread") {
    auto body = [](int number) {
        try {
            throw number;
        } catch (int) {
            yield();
            try {
                throw;  // the one this thread is handling
            } catch (int again) {
                CHECK(again == number);
            }
            yield();
        }
        CHECK(std::uncaught_exceptions() == 0);
        CHECK(std::current_exception() == nullptr);
    };
    join({start([&] { body(1); }), start([&] { body(2); }), start([&] { body(3); })});
}

TEST_CASE("a destructor that runs for an exception may give way") {
    struct Yields {
        ~Yields() {
            CHECK(std::uncaught_exceptions() == 1);
            yield();
            CHECK(std::uncaught_exceptions() == 1);
        }
    };
    auto body = [] {
        try {
            Yields y;
            throw std::string("a");
        } catch (const std::string& s) {
            CHECK(s == "a");
        }
    };
    join({start(body), start(body)});
}

TEST_CASE("a thread's memory serves the next one, fresh to the program") {
    Thread* t = start([] {
        local = 5;
        errno = EBUSY;
    });
    void* block = t->block;
    char* base = t->slot.base;
    join(t);
    for (int i = 0; i < 1000; ++i) {
        t = start([] {
            CHECK(local == 1);
            CHECK(errno == 0);
            local = 5;
        });
        REQUIRE(t->block == block);
        REQUIRE(t->slot.base == base);
        join(t);
    }
}

TEST_CASE("malloc's cache of a thread serves the next one") {
    if (sanitized) return;  // another malloc
    void *one = nullptr, *two = nullptr;
    run([&] {
        one = malloc(1000);
        free(one);
    });
    size_t in_use = mallinfo2().uordblks;
    for (int i = 0; i < 1000; ++i) {
        run([&] {
            two = malloc(1000);
            free(two);
        });
    }
    CHECK(two == one);
    CHECK(mallinfo2().uordblks < in_use + 65536);
}

TEST_CASE("a detached thread gives its memory back itself") {
    Thread* t = make([] {});
    t->detached = true;
    void* block = t->block;
    thread_start(t);
    yield();
    CHECK(thread_of(block) == nullptr);
    t = start([] {});
    CHECK(t->block == block);
    join(t);
}

TEST_CASE("many may wait for the end of a thread") {
    Thread* t = start([] { yield(); });
    int seen = 0;
    std::vector<Thread*> watchers;
    for (int i = 0; i < 5; ++i) {
        watchers.push_back(start([&] {
            while (t->state != State::ended) wait_address(t);
            ++seen;
        }));
    }
    join(watchers);
    CHECK(seen == 5);
    join(t);
}

TEST_CASE("the reported stack is where the thread runs") {
    Thread* t = start([] {
        auto* here = static_cast<char*>(__builtin_frame_address(0));
        CHECK(here > self->stack_low);
        CHECK(here < self->stack_low + self->stack_size);
        CHECK(self->stack_low >= self->slot.base);
        constexpr uintptr_t page = 4096;  // it begins and ends on one, as virtual machines expect
        CHECK(reinterpret_cast<uintptr_t>(self->stack_low) % page == 0);
        CHECK(self->stack_low + self->stack_size <= self->slot.base + self->slot.size + page);
    });
    CHECK(t->stack_size == ThreadOptions().stack_size);
    join(t);
}

TEST_CASE("a large stack ends at its guard, where it is said to end") {
    if (thread_block_size() > 8192) return;  // a sanitizer's variables are in each block
    for (size_t size : {stack_exact_from, size_t{300'000}, size_t{1} << 20, size_t{8} << 20}) {
        run(
            [] {
                constexpr uintptr_t page = 4096;
                CHECK(self->stack_low >= self->slot.base);
                CHECK(self->stack_low < self->slot.base + page);
                Pipe pipe;
                CHECK(sys::invoke(SYS_write, pipe.second, self->slot.base, 1) == 1);
                CHECK(sys::invoke(SYS_write, pipe.second, self->slot.base - 1, 1) == -EFAULT);
            },
            {.stack_size = size});
    }
}

TEST_CASE("all of a small stack that was asked for is there") {
    for (size_t size : {size_t{16384}, size_t{65536}, stack_exact_from - 4096}) {
        run(
            [size] {
                auto* low = static_cast<char*>(__builtin_frame_address(0)) - size;
                CHECK(low >= self->slot.base);
                Pipe pipe;
                // The kernel would say EFAULT.
                CHECK(sys::invoke(SYS_write, pipe.second, low, 1) == 1);
            },
            {.stack_size = size});
    }
}

TEST_CASE("the smallest stack is enough for libc") {
    ThreadOptions options;
    options.stack_size = PTHREAD_STACK_MIN;
    char text[64] = {};
    run(
        [&] {
            yield();
            snprintf(text, sizeof text, "%.3f %s", 1.5, strerror(ENOENT));
        },
        options);
    CHECK(std::string(text) == "1.500 No such file or directory");
}

TEST_CASE("the program may bring its own stack") {
    ThreadOptions options;
    options.stack_size = 65536;
    std::unique_ptr<char[]> stack(new char[options.stack_size]);
    options.user_stack = stack.get();
    for (int i = 0; i < 3; ++i) {
        Thread* t = start(
            [&] {
                auto* here = static_cast<char*>(__builtin_frame_address(0));
                CHECK(here > stack.get());
                CHECK(here < stack.get() + options.stack_size);
                yield();
                CHECK(local == 1);
                local = 2;
            },
            options);
        CHECK(t->stack_low == stack.get());
        CHECK(t->stack_size == options.stack_size);
        join(t);
    }
}

TEST_CASE("no thread, if there is no room for its stack") {
    ThreadOptions options;
    errno = 0;
    for (size_t size : {size_t{1} << 47, size_t{1} << 63, SIZE_MAX & -size_t{4096}}) {
        options.stack_size = size;
        CHECK(thread_make(options, [](Thread*) {}) == nullptr);
    }
    CHECK(errno == 0);
}

TEST_CASE("threads are made by threads") {
    int made = 0;
    Body grow = [&] {
        if (++made < 500) run(grow);  // each waits for the one it made
    };
    run(grow, {.stack_size = 65536});
    CHECK(made == 500);
}

TEST_SUITE_END();
