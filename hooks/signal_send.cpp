// Sending signals: kill(2), sigqueue(3), raise(3), abort(3), pthread_kill(3).
//
// What is sent to the process is the kernel's to deliver, and comes back by hooks/signal.cpp before
// the call returns, as natively. What is sent to a green thread never reaches the kernel, unless
// its action is the default one.

#include <pthread.h>
#include <unistd.h>

#include "hooks/hooks.h"
#include "hooks/signal.h"
#include "hooks/wait.h"

using namespace green;

// The id of a thread names its process (kill(2)).
static pid_t process_named(pid_t pid) {
    bool green_tid = self != nullptr && to_kernel_tid(pid) != pid;
    if (!green_tid || thread_by_tid(pid) == nullptr) return pid;
    return static_cast<pid_t>(sys::invoke(SYS_getpid));
}

HOOK(int, kill, (pid_t pid, int signal), redirected) {
    long r = sys::invoke(SYS_kill, process_named(pid), signal);
    handle_what_came();
    return static_cast<int>(result(r));
}

HOOK(int, sigqueue, (pid_t pid, int signal, const sigval value), redirected) {
    siginfo_t info = told_of_own(signal, SI_QUEUE, value);
    long r = sys::invoke(SYS_rt_sigqueueinfo, process_named(pid), signal, &info);
    handle_what_came();
    return static_cast<int>(result(r));
}

HOOK(int, pidfd_send_signal, (int pidfd, int signal, siginfo_t* info, unsigned flags), interposed) {
    long r = sys::invoke(SYS_pidfd_send_signal, pidfd, signal, info, flags);
    handle_what_came();
    return static_cast<int>(result(r));
}

HOOK(int, raise, (int signal), redirected) {
    if (self == nullptr) {
        long pid = sys::invoke(SYS_getpid), tid = sys::invoke(SYS_gettid);
        return static_cast<int>(result(sys::invoke(SYS_tgkill, pid, tid, signal)));
    }
    return static_cast<int>(result(-signal_thread(self, signal)));
}

// abort(3). libc's own lets the signal in by a system call that only the kernel hears of.
HOOK(void, abort, (), redirected) {
    sigset_t itself;
    to_set(bit(SIGABRT), &itself);
    hook_pthread_sigmask(SIG_UNBLOCK, &itself, nullptr);
    hook_raise(SIGABRT);
    hook_signal(SIGABRT, SIG_DFL);  // it was ignored, or its handler came back
    hook_raise(SIGABRT);
    __builtin_trap();
}

ORIGINAL(int, pthread_kill, (pthread_t, int), nullptr)
ORIGINAL(int, pthread_sigqueue, (pthread_t, int, const sigval), nullptr)

HOOK(int, pthread_kill, (pthread_t which, int signal), interposed) {
    Thread* t = owner == nullptr ? nullptr : thread_of(reinterpret_cast<void*>(which));
    if (self == nullptr || t == nullptr) return original_pthread_kill()(which, signal);
    safe_point();
    return signal_thread(t, signal);
}

HOOK(int, pthread_sigqueue, (pthread_t which, int signal, const sigval value), interposed) {
    Thread* t = owner == nullptr ? nullptr : thread_of(reinterpret_cast<void*>(which));
    if (self == nullptr || t == nullptr) return original_pthread_sigqueue()(which, signal, value);
    safe_point();
    return signal_thread(t, signal, SI_QUEUE, value);
}
