// Processes: waiting for children, vfork(2), _Fork(3).
//
// A wait for a child asks with WNOHANG and then waits on a pidfd, which becomes readable when the
// child ends; who collects the child is still the kernel's own wait. fork(2) itself needs no hook:
// pthread_atfork handlers (hooks/activate.cpp) make the child dormant. A vfork child runs in the
// parent's memory, on its stack, with `self` null until it execs: every hook is the plain call.

#include <sys/resource.h>
#include <sys/wait.h>

#include "hooks/activate.h"
#include "hooks/wait.h"

using namespace green;

ORIGINAL(pid_t, _Fork, (), nullptr)

namespace {

// Waits until a child may have changed its state. For one child: its pidfd. For "any child", or for
// stops and continuations, which no descriptor announces: again soon.
long wait_for_child(idtype_t type, id_t id, bool only_exit) {
    constexpr uint64_t soon = 10 * sys::millisecond;
    Wake why;
    long fd = type == P_PID && only_exit ? sys::invoke(SYS_pidfd_open, id, 0) : -1;
    if (fd >= 0) {
        fd_created(static_cast<int>(fd), FdKind::poll_first, false);
        struct Closer {
            ~Closer() {
                fd_forget(fd);
                sys::invoke(SYS_close, fd);
            }
            int fd;
        } closer{static_cast<int>(fd)};
        why = wait_fd(closer.fd, EPOLLIN);
        if (why == Wake::interrupted && interruption_ends_call(true)) return -EINTR;
        return 0;
    }
    why = park(Park::sleep, sys::after(soon));
    if (why == Wake::interrupted && interruption_ends_call(true)) return -EINTR;
    return 0;
}

long green_wait4(pid_t pid, int* status, int options, rusage* usage) {
    cancellation_point();
    for (;;) {
        long r = sys::invoke(SYS_wait4, pid, status, options | WNOHANG, usage);
        if (r != 0 || (options & WNOHANG) != 0) return r;
        bool only_exit = (options & (WUNTRACED | WCONTINUED)) == 0;
        r = wait_for_child(pid > 0 ? P_PID : P_ALL, static_cast<id_t>(pid), only_exit);
        if (r < 0) return r;
    }
}

long green_waitid(idtype_t type, id_t id, siginfo_t* info, int options, rusage* usage) {
    cancellation_point();
    for (;;) {
        siginfo_t found = {};
        long r = sys::invoke(SYS_waitid, type, id, &found, options | WNOHANG, usage);
        if (r < 0 || found.si_pid != 0 || (options & WNOHANG) != 0) {
            if (r >= 0 && info != nullptr) *info = found;
            return r;
        }
        bool only_exit = (options & (WSTOPPED | WCONTINUED)) == 0;
        r = wait_for_child(type, id, only_exit);
        if (r < 0) return r;
    }
}

}  // namespace

HOOK(pid_t, wait4, (pid_t pid, int* status, int options, rusage* usage), redirected) {
    if (self == nullptr) {
        return static_cast<pid_t>(result(sys::invoke(SYS_wait4, pid, status, options, usage)));
    }
    return static_cast<pid_t>(result(green_wait4(pid, status, options, usage)));
}

HOOK(pid_t, waitpid, (pid_t pid, int* status, int options), redirected) {
    return hook_wait4(pid, status, options, nullptr);
}
HOOK_ALIAS(__waitpid, waitpid, redirected)

HOOK(pid_t, wait, (int* status), redirected) { return hook_wait4(-1, status, 0, nullptr); }
HOOK_ALIAS(__wait, wait, redirected)

HOOK(pid_t, wait3, (int* status, int options, rusage* usage), redirected) {
    return hook_wait4(-1, status, options, usage);
}

HOOK(int, waitid, (idtype_t type, id_t id, siginfo_t* info, int options), redirected) {
    if (self == nullptr) {
        return static_cast<int>(result(sys::invoke(SYS_waitid, type, id, info, options, nullptr)));
    }
    return static_cast<int>(result(green_waitid(type, id, info, options, nullptr)));
}

// The counters of a process that leaves without exit(3); not those of a vfork child, whose memory
// is its parent's.
HOOK(void, _exit, (int status), interposed) {
    if (on_quick_exit != nullptr) on_quick_exit();
    for (;;) sys::invoke(SYS_exit_group, status);
}
HOOK_ALIAS(_Exit, _exit, interposed)

HOOK(pid_t, _Fork, (), interposed) {
    pid_t child = original__Fork()();
    if (child == 0) scheduler_abandon();
    if (child > 0 && self != nullptr) fd_forked();
    return child;
}

// vfork returns twice on the same stack, so the return address and the parent's `self` are carried
// in registers, which the kernel keeps for both.
#if defined(__x86_64__)
asm(".pushsection .text\n"
    ".globl vfork\n"
    ".type vfork, @function\n"
    ".globl __vfork\n"
    ".type __vfork, @function\n"
    "vfork:\n"
    "__vfork:\n"
    "    popq %rdi\n"
    "    movq _ZN5green4selfE@gottpoff(%rip), %rdx\n"
    "    movq %fs:(%rdx), %rsi\n"
    "    movq $0, %fs:(%rdx)\n"
    "    movl $58, %eax\n"  // SYS_vfork
    "    syscall\n"
    "    pushq %rdi\n"
    "    testq %rax, %rax\n"
    "    je 1f\n"
    "    movq %rsi, %fs:(%rdx)\n"
    "    js 2f\n"
    "1:  ret\n"
    "2:  movq %rax, %rdi\n"
    "    jmp green_vfork_failed\n"
    ".popsection\n");

extern "C" __attribute__((visibility("hidden"), used)) long green_vfork_failed(long error) {
    return result(error);
}
extern "C" int hook_vfork() __asm__("vfork");
GREEN_ROW(vfork, interposed)
#endif
