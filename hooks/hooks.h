// Hooks that other hooks call, by name: syscall(2) goes to the function that a number stands for.
#pragma once

#include <mqueue.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "hooks/hook.h"

#define GREEN_HOOK_IS(type, name, parameters) extern "C" type hook_##name parameters __asm__(#name);
GREEN_HOOK_IS(ssize_t, read, (int, void*, size_t))
GREEN_HOOK_IS(ssize_t, write, (int, const void*, size_t))
GREEN_HOOK_IS(ssize_t, readv, (int, const iovec*, int))
GREEN_HOOK_IS(ssize_t, writev, (int, const iovec*, int))
GREEN_HOOK_IS(int, close, (int))
GREEN_HOOK_IS(int, dup, (int))
GREEN_HOOK_IS(int, dup2, (int, int))
GREEN_HOOK_IS(int, dup3, (int, int, int))
GREEN_HOOK_IS(int, close_range, (unsigned, unsigned, int))
GREEN_HOOK_IS(int, fcntl, (int, int, ...))
GREEN_HOOK_IS(int, socket, (int, int, int))
GREEN_HOOK_IS(int, connect, (int, const sockaddr*, socklen_t))
GREEN_HOOK_IS(int, accept, (int, sockaddr*, socklen_t*))
GREEN_HOOK_IS(int, accept4, (int, sockaddr*, socklen_t*, int))
GREEN_HOOK_IS(ssize_t, recvfrom, (int, void*, size_t, int, sockaddr*, socklen_t*))
GREEN_HOOK_IS(ssize_t, sendto, (int, const void*, size_t, int, const sockaddr*, socklen_t))
GREEN_HOOK_IS(ssize_t, recvmsg, (int, msghdr*, int))
GREEN_HOOK_IS(ssize_t, sendmsg, (int, const msghdr*, int))
GREEN_HOOK_IS(int, poll, (pollfd*, nfds_t, int))
GREEN_HOOK_IS(int, ppoll, (pollfd*, nfds_t, const timespec*, const sigset_t*))
GREEN_HOOK_IS(int, select, (int, fd_set*, fd_set*, fd_set*, timeval*))
GREEN_HOOK_IS(int, epoll_ctl, (int, int, int, epoll_event*))
GREEN_HOOK_IS(int, epoll_wait, (int, epoll_event*, int, int))
GREEN_HOOK_IS(int, epoll_pwait, (int, epoll_event*, int, int, const sigset_t*))
GREEN_HOOK_IS(int, pselect, (int, fd_set*, fd_set*, fd_set*, const timespec*, const sigset_t*))
GREEN_HOOK_IS(int, epoll_pwait2, (int, epoll_event*, int, const timespec*, const sigset_t*))
GREEN_HOOK_IS(ssize_t, preadv2, (int, const iovec*, int, off64_t, int))
GREEN_HOOK_IS(ssize_t, pwritev2, (int, const iovec*, int, off64_t, int))
GREEN_HOOK_IS(int, waitid, (idtype_t, id_t, siginfo_t*, int))
GREEN_HOOK_IS(int, nanosleep, (const timespec*, timespec*))
GREEN_HOOK_IS(int, clock_nanosleep, (clockid_t, int, const timespec*, timespec*))
GREEN_HOOK_IS(int, sched_yield, ())
GREEN_HOOK_IS(pid_t, gettid, ())
GREEN_HOOK_IS(pid_t, wait4, (pid_t, int*, int, rusage*))
GREEN_HOOK_IS(int, sched_setaffinity, (pid_t, size_t, const cpu_set_t*))
GREEN_HOOK_IS(int, sched_setscheduler, (pid_t, int, const sched_param*))
GREEN_HOOK_IS(int, sched_getscheduler, (pid_t))
GREEN_HOOK_IS(int, sched_setparam, (pid_t, const sched_param*))
GREEN_HOOK_IS(int, sched_getparam, (pid_t, sched_param*))
GREEN_HOOK_IS(int, getcpu, (unsigned*, unsigned*))
GREEN_HOOK_IS(int, pause, ())
GREEN_HOOK_IS(sighandler_t, signal, (int, sighandler_t))
GREEN_HOOK_IS(int, pthread_sigmask, (int, const sigset_t*, sigset_t*))
GREEN_HOOK_IS(int, sigaction, (int, const struct sigaction*, struct sigaction*))
GREEN_HOOK_IS(int, sigpending, (sigset_t*))
GREEN_HOOK_IS(int, sigaltstack, (const stack_t*, stack_t*))
GREEN_HOOK_IS(int, kill, (pid_t, int))
GREEN_HOOK_IS(int, prctl, (int, ...))
GREEN_HOOK_IS(int, sigsuspend, (const sigset_t*))
GREEN_HOOK_IS(int, sigtimedwait, (const sigset_t*, siginfo_t*, const timespec*))
GREEN_HOOK_IS(int, signalfd, (int, const sigset_t*, int))
GREEN_HOOK_IS(int, tgkill, (pid_t, pid_t, int))
GREEN_HOOK_IS(int, flock, (int, int))
GREEN_HOOK_IS(int, fsync, (int))
GREEN_HOOK_IS(int, fdatasync, (int))
GREEN_HOOK_IS(int, syncfs, (int))
GREEN_HOOK_IS(int, msync, (void*, size_t, int))
GREEN_HOOK_IS(ssize_t, splice, (int, off64_t*, int, off64_t*, size_t, unsigned))
GREEN_HOOK_IS(ssize_t, tee, (int, int, size_t, unsigned))
GREEN_HOOK_IS(ssize_t, vmsplice, (int, const iovec*, size_t, unsigned))
GREEN_HOOK_IS(ssize_t, sendfile, (int, int, off64_t*, size_t))
GREEN_HOOK_IS(int, recvmmsg, (int, mmsghdr*, unsigned, int, timespec*))
GREEN_HOOK_IS(int, sendmmsg, (int, mmsghdr*, unsigned, int))
GREEN_HOOK_IS(int, semop, (int, sembuf*, size_t))
GREEN_HOOK_IS(int, semtimedop, (int, sembuf*, size_t, const timespec*))
GREEN_HOOK_IS(int, msgsnd, (int, const void*, size_t, int))
GREEN_HOOK_IS(ssize_t, msgrcv, (int, void*, size_t, long, int))
GREEN_HOOK_IS(int, mq_timedsend, (mqd_t, const char*, size_t, unsigned, const timespec*))
GREEN_HOOK_IS(ssize_t, mq_timedreceive, (mqd_t, char*, size_t, unsigned*, const timespec*))
GREEN_HOOK_IS(ssize_t, pread64, (int, void*, size_t, off64_t))
GREEN_HOOK_IS(ssize_t, preadv, (int, const iovec*, int, off64_t))
#undef GREEN_HOOK_IS

namespace green {
// A call that was handled natively while other threads could have run; for --stats.
void count_native(const char* function);

// After a system call by number: the result, once what it may have changed of the caller alone
// holds for helpers too.
long renewing_by_number(long number, long r);

// The thread id that the kernel knows for one that gettid(2) has told the program; 0 is the caller.
long to_kernel_tid(long tid);

// ptrace(2) was called: waits for children may have stops to tell from now on.
void note_ptrace(long request);
}  // namespace green
