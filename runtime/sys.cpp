// The one message the runtime itself can write: a defect of libgreen that nothing can be built on.
// And system calls on a CPU whose way of making them is not known here.

#include "runtime/sys.h"

#include <dlfcn.h>
#include <string.h>

namespace green::sys {

#if !defined(__x86_64__) && !defined(__aarch64__)

long call(long n, long a, long b, long c, long d, long e, long f) {
    static long (*libc_syscall)(long, ...) = nullptr;
    if (libc_syscall == nullptr) {
        libc_syscall = reinterpret_cast<long (*)(long, ...)>(dlsym(RTLD_NEXT, "syscall"));
    }
    int saved = errno;
    long result = libc_syscall(n, a, b, c, d, e, f);
    if (result == -1) result = -errno;
    errno = saved;
    return result;
}

#endif

void die(const char* what) {
    const char* const parts[] = {"libgreen: internal error: ", what, "\n"};
    for (const char* part : parts) invoke(SYS_write, 2, part, strlen(part));
    constexpr long sigabrt = 6;
    invoke(SYS_kill, invoke(SYS_getpid), sigabrt);
    for (;;) invoke(SYS_exit_group, 127);
}

}  // namespace green::sys
