// What the tests share: green threads from lambdas, child processes, pipes.
//
// The green threads run in the test's own process, so CHECK works in them. REQUIRE does not: it
// throws, and an exception that leaves a thread ends the process.
#pragma once

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "runtime/fd_table.h"
#include "runtime/loop.h"
#include "runtime/parking_lot.h"
#include "runtime/scheduler.h"

namespace green_test {

using namespace green;
using Body = std::function<void()>;

// A green thread with what its start and its end owe to libc, as hooks/thread.cpp has it; not
// runnable yet.
inline Thread* make(Body body, const ThreadOptions& options = {}) {
    Thread* t = thread_make(options, [](Thread* me) {
        thread_block_start(me->resolver_state);
        {
            std::unique_ptr<Body> mine(static_cast<Body*>(me->argument));
            (*mine)();
        }
        thread_block_run_destructors();
    });
    REQUIRE(t != nullptr);
    t->argument = new Body(std::move(body));
    return t;
}

inline Thread* start(Body body, const ThreadOptions& options = {}) {
    Thread* t = make(std::move(body), options);
    thread_start(t);
    return t;
}

inline void join(Thread* t) {
    while (t->state != State::ended) wait_address(t);
    thread_release(t);
}

inline void join(const std::vector<Thread*>& threads) {
    for (Thread* t : threads) join(t);
}

inline void run(Body body, const ThreadOptions& options = {}) {
    join(start(std::move(body), options));
}

// ThreadSanitizer knows 8,128 threads and fibers at most, and takes 10 ms to make one.
#if defined(__SANITIZE_THREAD__)
constexpr int most_threads = 1000;
#else
constexpr int most_threads = 10'000;
#endif

inline Wake sleep_for(uint64_t ns) { return park(Park::sleep, sys::after(ns)); }

// Runs `body` in a child process; its result, or 128 and the number of the signal that ended it.
inline int in_child(const std::function<int()>& body) {
    pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) _exit(body());
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

// Two connected descriptors that do not block; the runtime forgets them when they are closed.
struct Pair {
    int first = -1, second = -1;
    Pair() = default;
    Pair(const Pair&) = delete;
    Pair& operator=(const Pair&) = delete;
    ~Pair() {
        close_one(&first);
        close_one(&second);
    }
    static void close_one(int* fd) {
        if (*fd < 0) return;
        fd_forget(*fd);
        close(*fd);
        *fd = -1;
    }
};

// first is read from, second written to.
struct Pipe : Pair {
    Pipe() {
        int fds[2];
        REQUIRE(pipe2(fds, O_NONBLOCK | O_CLOEXEC) == 0);
        first = fds[0];
        second = fds[1];
    }
};

struct SocketPair : Pair {
    SocketPair() {
        int fds[2];
        REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
        first = fds[0];
        second = fds[1];
    }
};

inline void put(int fd) { CHECK(write(fd, "x", 1) == 1); }
inline void take(int fd) {
    char c;
    CHECK(read(fd, &c, 1) == 1);
}

#if defined(__SANITIZE_ADDRESS__)
constexpr bool sanitized = true;
#elif defined(__has_feature)
#    if __has_feature(address_sanitizer)
constexpr bool sanitized = true;
#    else
constexpr bool sanitized = false;
#    endif
#else
constexpr bool sanitized = false;
#endif

}  // namespace green_test
