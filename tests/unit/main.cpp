// The unit tests' program: what the library's hooks are to libev, and doctest's main function.
//
// libev is a shared library and calls epoll_wait(2) and epoll_create1(2) by name. In libgreen.so
// the hooks stand there; here the executable's own functions do, which come first in the search
// order of the dynamic linker. Nothing else is hooked: a blocking call in a test blocks the
// process.

#define DOCTEST_CONFIG_IMPLEMENT
#include <dlfcn.h>
#include <doctest/doctest.h>
#include <pthread.h>
#include <stdio.h>

#include "runtime/loop.h"
#include "runtime/scheduler.h"

namespace {

int libc_result(long r) {
    if (!green::sys::failed(r)) return static_cast<int>(r);
    errno = static_cast<int>(-r);
    return -1;
}

}  // namespace

extern "C" __attribute__((visibility("default"))) int epoll_wait(int fd, epoll_event* events,
                                                                 int max, int timeout) {
    if (green::in_loop()) return green::loop_poll(fd, events, max, timeout);
    return libc_result(green::sys::epoll_wait(fd, events, max, timeout));
}

extern "C" __attribute__((visibility("default"))) int epoll_create1(int flags) noexcept {
    long fd = green::sys::invoke(SYS_epoll_create1, flags);
    if (!green::loop_is_being_made()) return libc_result(fd);
    return libc_result(green::move_fd_high(static_cast<int>(fd)));
}

// ThreadSanitizer asks this of kernel threads only, and before it is ready for code like ours.
#if !defined(__SANITIZE_THREAD__)
extern "C" __attribute__((visibility("default"))) int pthread_getattr_np(
    pthread_t which, pthread_attr_t* attr) noexcept {
    green::Thread* t = green::thread_of(reinterpret_cast<void*>(which));
    if (t == nullptr || t->slot.base == nullptr) {
        static auto* original =
            reinterpret_cast<decltype(&pthread_getattr_np)>(dlsym(RTLD_NEXT, "pthread_getattr_np"));
        return original(which, attr);
    }
    pthread_attr_init(attr);
    return pthread_attr_setstack(attr, t->stack_low, t->stack_size);
}
#endif

// All tests run in the first green thread, and find the runtime up.
int main(int argc, char** argv) {
    doctest::Context context(argc, argv);
    if (const char* problem = green::scheduler_start()) {
        fprintf(stderr, "unit_tests: %s\n", problem);
        return 1;
    }
    return context.run();
}
