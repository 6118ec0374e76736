// Processes: waiting for children, vfork(2), clone(2), _Fork(3).
//
// A wait for a child asks with WNOHANG and then waits on a pidfd, which becomes readable when the
// child ends, and asks again now and then; who collects the child is still the kernel's own wait.
// fork(2) itself needs no hook: pthread_atfork handlers (hooks/activate.cpp) make the child
// dormant. A vfork child runs in the parent's memory, on its stack, with `self` null until it
// execs: every hook is the plain call.

#include <sched.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <wordexp.h>

#include <algorithm>

#include "hooks/accept_shape.h"
#include "hooks/activate.h"
#include "hooks/fs_trap.h"
#include "hooks/hooks.h"
#include "hooks/wait.h"
#include "runtime/loop.h"

using namespace green;

ORIGINAL(pid_t, _Fork, (), nullptr)
ORIGINAL(long, ptrace, (int, ...), nullptr)

// A daemon may make its first thread where no libraries are.
HOOK(int, chroot, (const char* path), interposed) {
    if (enabled) loop_load();
    return static_cast<int>(result(sys::invoke(SYS_chroot, path)));
}

namespace {

// Whether this process has traced others. A child may ask to be traced all by itself, as a rule
// soon after its fork; the first stop is found by looking again, and answered by a ptrace(2).
bool traces = false;

struct WhichChild {
    idtype_t type;
    id_t id;
    int options;  // those of waitid(2)
};

// What wait4(2) calls a child, as waitid(2) does. The caller's own group is 0 to both.
WhichChild child_of_wait4(pid_t pid, int options) {
    constexpr int common = WUNTRACED | WCONTINUED | __WALL | __WCLONE;
    idtype_t type = pid > 0 ? P_PID : pid == -1 ? P_ALL : P_PGID;
    return {type, static_cast<id_t>(pid < 0 ? -pid : pid), (options & common) | WEXITED};
}

// Asks whether a child has changed its state, and waits until one may have: `ask()` is true if
// there is an answer. The end of one child is told by its pidfd. No descriptor tells of "any
// child", nor of stops, which for a tracer come unasked for: it is asked again and again, soon at
// first; in a process that traces, where that would be late, a helper waits. False: a signal
// handler ends the call.
template <class Ask>
bool ask_for_child(const WhichChild& child, Ask ask) {
    constexpr uint64_t soon = sys::millisecond / 8, often = 10 * sys::millisecond,
                       seldom = 2 * sys::second;
    if (ask()) return true;
    bool only_exit = (child.options & (WSTOPPED | WCONTINUED)) == 0;
    OwnFd pidfd(child.type == P_PID && only_exit ? sys::invoke(SYS_pidfd_open, child.id, 0) : -1);
    int fd = pidfd.number();
    for (uint64_t nap = soon;; nap = std::min(2 * nap, fd < 0 ? often : seldom)) {
        bool interrupted;
        if (traces) {
            siginfo_t found = {};
            long r = offload(Lasts::endlessly, SYS_waitid, child.type, static_cast<long>(child.id),
                             sys::arg(&found), (child.options & ~__WNOTHREAD) | WNOWAIT);
            interrupted = r == -EINTR;
            // A sandbox, or an old kernel, without such a wait: looking again must do.
            traces = r >= 0 || r == -EINTR || r == -ECHILD;
        } else {
            sys::Deadline until = sys::after(nap);
            Wake why = fd < 0 ? park(Park::sleep, until) : wait_fd(fd, EPOLLIN, until);
            interrupted = why == Wake::interrupted;
        }
        if (interrupted && interruption_ends_call(true)) return false;
        if (ask()) return true;
    }
}

long green_wait4(pid_t pid, int* status, int options, rusage* usage) {
    cancel_if_pending();
    long r;
    auto ask = [&] {
        r = sys::invoke(SYS_wait4, pid, status, options | WNOHANG, usage);
        return r != 0 || (options & WNOHANG) != 0;
    };
    return ask_for_child(child_of_wait4(pid, options), ask) ? waited(r) : -EINTR;
}

long green_waitid(idtype_t type, id_t id, siginfo_t* info, int options, rusage* usage) {
    cancel_if_pending();
    long r;
    siginfo_t unseen;
    siginfo_t* found = info == nullptr ? &unseen : info;  // written to by failures, too
    auto ask = [&] {
        r = sys::invoke(SYS_waitid, type, id, found, options | WNOHANG, usage);
        bool answered = r < 0 || found->si_pid != 0 || (options & WNOHANG) != 0;
        if (!answered && type == P_PIDFD &&
            (sys::invoke(SYS_fcntl, id, F_GETFL) & O_NONBLOCK) != 0) {
            r = -EAGAIN;
        }
        return answered || r < 0;
    };
    return ask_for_child({type, id, options}, ask) ? waited(r) : -EINTR;
}

}  // namespace

namespace green {

void note_ptrace(long request) {
    if (request != PTRACE_TRACEME) traces = true;
}

}  // namespace green

HOOK(pid_t, wait4, (pid_t pid, int* status, int options, rusage* usage), redirected) {
    long r = self == nullptr ? invoke_point(SYS_wait4, pid, status, options, usage)
                             : green_wait4(pid, status, options, usage);
    bool waited = r > 0 && (options & WNOHANG) == 0;
    if (waited && accept_mode != AcceptMode::off) shape_sees_burial();
    return static_cast<pid_t>(result(r));
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
        return static_cast<int>(result(invoke_point(SYS_waitid, type, id, info, options, nullptr)));
    }
    return static_cast<int>(result(green_waitid(type, id, info, options, nullptr)));
}

HOOK(long, ptrace, (int request, ...), interposed) {
    va_list list;
    va_start(list, request);
    void* a[3];  // pid, address, data
    for (void*& value : a) value = va_arg(list, void*);
    va_end(list);
    note_ptrace(request);
    return original_ptrace()(request, a[0], a[1], a[2]);
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
    if (child == 0) child_after_fork();
    if (child > 0 && accept_mode != AcceptMode::off) shape_sees_fork();
    if (child > 0) fd_forked();
    return child;
}

// posix_spawn(3)'s child runs in our memory with our `self` until it executes: null meanwhile, so
// that its close and dup2 do not touch the parent's table. What it inherits is shared from now on.
namespace {

class Spawning {
  public:
    Spawning() : me_(self) {
        fd_forked();
        self = nullptr;
    }
    ~Spawning() { self = me_; }
    Spawning(const Spawning&) = delete;
    Spawning& operator=(const Spawning&) = delete;

  private:
    OwnMaskInKernel mask_;
    Thread* me_;
};

}  // namespace

ORIGINAL(int, posix_spawn,
         (pid_t*, const char*, const posix_spawn_file_actions_t*, const posix_spawnattr_t*,
          char* const*, char* const*),
         nullptr)
ORIGINAL(int, posix_spawnp,
         (pid_t*, const char*, const posix_spawn_file_actions_t*, const posix_spawnattr_t*,
          char* const*, char* const*),
         nullptr)
ORIGINAL(FILE*, popen, (const char*, const char*), nullptr)
ORIGINAL(int, system, (const char*), nullptr)
ORIGINAL(int, wordexp, (const char*, wordexp_t*, int), nullptr)

ORIGINAL(int, clone, (int (*)(void*), void*, int, void*, ...), nullptr)

namespace {

struct ClonedChild {
    int (*routine)(void*);
    void* argument;
    bool shares_descriptors;
};

int run_cloned_child(void* argument) {
    ClonedChild child = *static_cast<ClonedChild*>(argument);
    child_after_clone(child.shares_descriptors);
    return child.routine(child.argument);
}

}  // namespace

// A child with memory of its own is as one of fork's; one that borrows ours until it executes, as
// one of vfork's. A kernel thread made by hand is left alone.
HOOK(int, clone, (int (*routine)(void*), void* stack, int flags, void* argument, ...), interposed) {
    va_list list;
    va_start(list, argument);
    void* more[3];  // parent's tid, TLS, child's tid
    for (void*& pointer : more) pointer = va_arg(list, void*);
    va_end(list);
    auto original = original_clone();
    fd_forked();
    if (self != nullptr && (flags & CLONE_VM) == 0) {
        ClonedChild child = {routine, argument, (flags & CLONE_FILES) != 0};
        return original(run_cloned_child, stack, flags, &child, more[0], more[1], more[2]);
    }
    if (self != nullptr && (flags & CLONE_VFORK) != 0) {
        Spawning scope;
        return original(routine, stack, flags, argument, more[0], more[1], more[2]);
    }
    return original(routine, stack, flags, argument, more[0], more[1], more[2]);
}

HOOK(int, posix_spawn,
     (pid_t * pid, const char* path, const posix_spawn_file_actions_t* actions,
      const posix_spawnattr_t* attr, char* const argv[], char* const envp[]),
     interposed) {
    Spawning scope;
    return original_posix_spawn()(pid, path, actions, attr, argv, envp);
}

HOOK(int, posix_spawnp,
     (pid_t * pid, const char* file, const posix_spawn_file_actions_t* actions,
      const posix_spawnattr_t* attr, char* const argv[], char* const envp[]),
     interposed) {
    Spawning scope;
    return original_posix_spawnp()(pid, file, actions, attr, argv, envp);
}

HOOK(FILE*, popen, (const char* command, const char* mode), interposed) {
    OwnMaskInKernel scope;  // nothing in it waits
    fd_forked();
    return original_popen()(command, mode);
}
HOOK_ALIAS(_IO_popen, popen, interposed)

// system(3) hands its child the thread's own mask itself; it waits, so the kernel's is left alone.
HOOK(int, system, (const char* command), interposed) {
    KernelKnowsFs scope;
    fd_forked();
    return original_system()(command);
}

HOOK(int, wordexp, (const char* words, wordexp_t* result, int flags), interposed) {
    KernelKnowsFs scope;  // it may run a shell
    fd_forked();
    return original_wordexp()(words, result, flags);
}

HOOK(int, execve, (const char* path, char* const argv[], char* const envp[]), redirected) {
    OwnMaskInKernel scope;
    return static_cast<int>(result(sys::invoke(SYS_execve, path, argv, envp)));
}

HOOK(int, execveat,
     (int directory, const char* path, char* const argv[], char* const envp[], int flags),
     redirected) {
    OwnMaskInKernel scope;
    return static_cast<int>(result(sys::invoke(SYS_execveat, directory, path, argv, envp, flags)));
}

HOOK(int, fexecve, (int fd, char* const argv[], char* const envp[]), redirected) {
    if (fd < 0 || argv == nullptr || envp == nullptr) return static_cast<int>(result(-EINVAL));
    return hook_execveat(fd, "", argv, envp, AT_EMPTY_PATH);
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
    "    subq $8, %rsp\n"
    "    call green_before_vfork\n"
    "    addq $8, %rsp\n"
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
    "    movq %rax, %rdi\n"
    "    jmp green_after_vfork\n"
    "1:  ret\n"
    ".popsection\n");

// The child inherits the thread's own mask.
extern "C" __attribute__((visibility("hidden"), used)) void green_before_vfork() {
    if (self != nullptr) mask_to_kernel();
}

// What it keeps open is shared from now on. What it has opened itself, which was noted in our
// memory, is forgotten with that.
extern "C" __attribute__((visibility("hidden"), used)) long green_after_vfork(long pid) {
    fd_forked();
    if (self != nullptr) mask_from_kernel();
    return result(pid);
}
extern "C" int hook_vfork() __asm__("vfork");
GREEN_ROW(vfork, interposed)
#endif
