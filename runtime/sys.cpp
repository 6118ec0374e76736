// The one message the runtime itself can write: a defect of libgreen that nothing can be built on.
// The return from signal handlers. And system calls on a CPU whose way of making them is not known
// here.

#include "runtime/sys.h"

#include <dlfcn.h>
#include <string.h>
#include <sys/socket.h>

// The kernel returns from a handler through this; unwinders know it by these very bytes.
asm(".pushsection .text\n"
    ".hidden green_restore_frame\n"
    ".globl green_restore_frame\n"
    ".type green_restore_frame, @function\n"
    "    nop\n"
    "green_restore_frame:\n"
#if defined(__x86_64__)
    "    .byte 0x48, 0xc7, 0xc0, 0x0f, 0x00, 0x00, 0x00, 0x0f, 0x05\n"  // mov $15,%rax; syscall
#endif
    ".popsection\n");

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

int (*read_clock)(clockid_t, timespec*) = [](clockid_t clock, timespec* time) {
    return static_cast<int>(invoke(SYS_clock_gettime, clock, time));
};

void find_clock() {
    static bool found_before = false;
    if (found_before) return;
    void* libc = dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD);
    if (libc == nullptr) return;
    if (void* found = dlsym(libc, "clock_gettime")) {
        read_clock = reinterpret_cast<int (*)(clockid_t, timespec*)>(found);
        found_before = true;
    }
    dlclose(libc);  // it is never unloaded
}

LiftedLimit::LiftedLimit(__rlimit_resource_t resource, rlim_t by) : resource_(resource) {
    invoke(SYS_prlimit64, 0, resource, nullptr, &before_);
    rlim_t most = before_.rlim_max - before_.rlim_cur;
    rlimit higher = {before_.rlim_cur + (by < most ? by : most), before_.rlim_max};
    lifted_ = most > 0 && !failed(invoke(SYS_prlimit64, 0, resource, &higher, nullptr));
}

LiftedLimit::~LiftedLimit() {
    if (lifted_) invoke(SYS_prlimit64, 0, resource_, &before_, nullptr);
}

int socket_option(int fd, int option) {
    int value = -1;
    socklen_t size = sizeof value;
    invoke(SYS_getsockopt, fd, SOL_SOCKET, option, &value, &size);
    return value;
}

bool for_each_entry(const char* directory, void (*act)(const char* name, void*), void* argument) {
    struct Entry {  // getdents64(2)
        uint64_t inode, offset;
        uint16_t length;
        unsigned char type;
        char name[1];
    };
    long fd = invoke(SYS_openat, AT_FDCWD, directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    if (fd < 0) return false;
    alignas(8) char buffer[2048];
    for (long n; (n = invoke(SYS_getdents64, fd, buffer, sizeof buffer)) > 0;) {
        for (long at = 0; at < n;) {
            auto* entry = reinterpret_cast<Entry*>(buffer + at);
            if (entry->name[0] != '.') act(entry->name, argument);
            at += entry->length;
        }
    }
    invoke(SYS_close, fd);
    return true;
}

int kernel_threads() {
    int count = 0;
    auto add_one = [](const char*, void* to) { ++*static_cast<int*>(to); };
    return for_each_entry("/proc/self/task", add_one, &count) ? count : -1;
}

const char* status_of_thread(const char* key, char (&text)[status_size]) {
    return status_in("/proc/thread-self/status", key, text);
}

const char* status_in(const char* file, const char* key, char (&text)[status_size]) {
    long fd = invoke(SYS_openat, AT_FDCWD, file, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return nullptr;
    long size = invoke(SYS_read, fd, text, status_size - 1);
    invoke(SYS_close, fd);
    text[size > 0 ? size : 0] = '\0';
    size_t length = strlen(key);
    for (const char* line = text; line != nullptr; line = strchr(line, '\n')) {
        if (*line == '\n') ++line;
        if (strncmp(line, key, length) == 0 && line[length] == ':') return line + length + 2;
    }
    return nullptr;
}

void die(const char* what) {
    const char* const parts[] = {"libgreen: internal error: ", what, "\n"};
    for (const char* part : parts) invoke(SYS_write, 2, part, strlen(part));
    constexpr long sigabrt = 6;
    invoke(SYS_kill, invoke(SYS_getpid), sigabrt);
    for (;;) invoke(SYS_exit_group, 127);
}

}  // namespace green::sys
