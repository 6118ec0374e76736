// echo_threads.c for Boost.Fiber: a fiber for each connection. Boost.Fiber knows nothing of
// descriptors, so the best there is has been written around it: its scheduler waits in epoll when
// no fiber is ready, and each connection is registered once, edge-triggered.
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>

#include <boost/fiber/all.hpp>
#include <chrono>
#include <memory>
#include <vector>

#include "../common.h"

namespace fibers = boost::fibers;

namespace {

constexpr size_t buffer_size = 4096, stack_size = 64 * 1024;
int epoll_fd;
std::vector<fibers::context*> waiting(65536);  // by descriptor

void look(int timeout) {
    epoll_event events[512];
    int count = epoll_wait(epoll_fd, events, 512, timeout);
    for (int i = 0; i < count; i++)
        if (fibers::context* fiber = waiting[static_cast<size_t>(events[i].data.fd)]) {
            waiting[static_cast<size_t>(events[i].data.fd)] = nullptr;
            fibers::context::active()->schedule(fiber);
        }
}

struct EpollScheduler : fibers::algo::round_robin {
    void suspend_until(const std::chrono::steady_clock::time_point& time) noexcept override {
        auto now = std::chrono::steady_clock::now();
        bool forever = time == std::chrono::steady_clock::time_point::max();
        auto left = std::chrono::duration_cast<std::chrono::milliseconds>(time - now).count();
        look(forever ? -1 : left < 0 ? 0 : static_cast<int>(left) + 1);
    }
    void notify() noexcept override {}  // there is one kernel thread
};

void wait_for(int fd) {
    waiting[static_cast<size_t>(fd)] = fibers::context::active();
    fibers::context::active()->suspend();
}

void add(int fd) {
    epoll_event event = {};
    event.events = EPOLLIN | EPOLLRDHUP | EPOLLET;
    event.data.fd = fd;
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0) die("epoll_ctl");
}

void serve(int fd) {
    char buffer[buffer_size];
    add(fd);
    for (bool drained = false;;) {
        if (drained) wait_for(fd);
        ssize_t n = recv(fd, buffer, sizeof buffer, MSG_DONTWAIT);
        drained = n < static_cast<ssize_t>(sizeof buffer);
        if (n < 0 && errno == EAGAIN) continue;
        if (n <= 0 || send(fd, buffer, static_cast<size_t>(n), 0) != n) break;
    }
    close(fd);
}

}  // namespace

int main() {
    signal(SIGPIPE, SIG_IGN);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    fibers::use_scheduling_algorithm<EpollScheduler>();
    fibers::pooled_fixedsize_stack stacks(stack_size);
    int listener = listen_on_loopback(0);
    if (fcntl(listener, F_SETFL, O_NONBLOCK) < 0) die("fcntl");
    add(listener);
    for (;;) {
        int fd = accept4(listener, nullptr, nullptr, SOCK_NONBLOCK);
        if (fd >= 0) {
            fibers::fiber(std::allocator_arg, stacks, serve, fd).detach();
        } else if (errno == EAGAIN) {
            wait_for(listener);
        } else {
            die("accept4");
        }
    }
}
