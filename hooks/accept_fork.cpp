// Making spares, telling them to go, and burying them: see accept_fork.h.
//
// What the processes tell each other lies in a page that they share; an eventfd wakes the program.
// Children with no exit signal are asked for with __WCLONE, which finds no child of the program's
// own. Nothing announces their end, so while there are any, the undertaker (a green thread) asks
// now and then.
//
// A spare is made with clone(2) itself: fork(3) would run the program's pthread_atfork handlers in
// a process that to the program is not there, and would make a child that wait(2) finds. Its kernel
// thread is alone and at a known place, so nothing in libc needs repair but the thread id.

#include "hooks/accept_fork.h"

#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "hooks/activate.h"
#include "hooks/wait.h"
#include "runtime/loop.h"

namespace green {

void (*fork_on_change)() = nullptr;

namespace {

struct Shared {
    int spare;      // the process that sleeps; 0: none
    int go;         // the process that is to go and has not heard it yet; a futex
    unsigned made;  // processes, ever
    int told;       // processes that were told to go and have not accepted yet
};

Shared* shared = nullptr;
int notify_fd = -1;
long program = 0;  // the program's process; the others are copies
bool copy = false;
unsigned buried = 0;
Thread* undertaker = nullptr;

void notify() {
    constexpr uint64_t one = 1;
    sys::invoke(SYS_write, notify_fd, &one, sizeof one);
}

void bury() {
    for (;;) {
        long pid =
            sys::invoke(SYS_wait4, -1, nullptr, unsigned{WNOHANG} | unsigned{__WCLONE}, nullptr);
        if (pid <= 0) return;
        ++buried;
        if (shared->spare == pid) shared->spare = 0;
        if (shared->go == pid) shared->go = 0;
    }
}

unsigned alive() { return __atomic_load_n(&shared->made, __ATOMIC_SEQ_CST) - buried; }

void run_undertaker(Thread*) {
    constexpr uint64_t shortest = 10 * sys::millisecond, longest = sys::second;
    uint64_t nap = shortest;
    for (;;) {
        uint64_t count;
        sys::invoke(SYS_read, notify_fd, &count, sizeof count);
        unsigned before = buried;
        bury();
        nap = buried != before ? shortest : nap * 2 < longest ? nap * 2 : longest;
        fork_on_change();
        bool expects = alive() > (shared->spare != 0 ? 1U : 0U);
        wait_fd(notify_fd, EPOLLIN, expects ? sys::after(nap) : sys::never);
    }
}

bool start() {
    if (shared != nullptr) return true;
    long page = sys::invoke(SYS_mmap, nullptr, 4096, PROT_READ | PROT_WRITE,
                            MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (sys::failed(page)) return false;
    notify_fd =
        move_fd_high(static_cast<int>(sys::invoke(SYS_eventfd2, 0, EFD_CLOEXEC | EFD_NONBLOCK)));
    ThreadOptions options;
    options.stack_size = 65536;
    undertaker = notify_fd < 0 ? nullptr : thread_make(options, run_undertaker);
    if (undertaker == nullptr) {
        if (notify_fd >= 0) sys::invoke(SYS_close, notify_fd);
        sys::invoke(SYS_munmap, page, 4096);
        return false;
    }
    shared = reinterpret_cast<Shared*>(page);
    program = sys::invoke(SYS_getpid);
    undertaker->blocked = ~uint64_t{0};
    run_queue_add(undertaker);
    return true;
}

// fork(2) without an exit signal. A copy's copy is the program's child, too.
long make_process() {
#if defined(__x86_64__)
    unsigned long flags = CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID | (copy ? CLONE_PARENT : 0);
    auto* tid = thread_block_tid(__builtin_thread_pointer());
    return sys::invoke(SYS_clone, flags, nullptr, nullptr, tid, nullptr);
#else
    return -ENOSYS;
#endif
}

// There is one spare. A copy may be about to name its own while the program does: the program's is
// the one that stays, as it knows more.
bool become_the_spare(int pid) {
    int none = 0;
    return __atomic_compare_exchange_n(&shared->spare, &none, pid, false, __ATOMIC_SEQ_CST,
                                       __ATOMIC_SEQ_CST);
}

void name_spare(int pid) {
    int superfluous = 0;
    if (!copy) {
        superfluous = __atomic_exchange_n(&shared->spare, pid, __ATOMIC_SEQ_CST);
    } else if (!become_the_spare(pid)) {
        superfluous = pid;
    }
    if (superfluous != 0) sys::invoke(SYS_kill, superfluous, SIGKILL);
}

// The spare's sleep. It goes on as a process of its own, on which the program's end is binding.
void sleep_until_told(int listener, int connection) {
    sys::invoke(SYS_close, connection);
    thread_block_after_fork();
    sys::invoke(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL);
    if (sys::invoke(SYS_getppid) != program) sys::invoke(SYS_exit_group, 0);
    become_dormant();
    uint64_t all = ~uint64_t{0}, before = 0;
    sys::signal_mask(SIG_SETMASK, &all, &before);
    auto me = static_cast<int>(sys::invoke(SYS_getpid));
    for (;;) {
        int told = __atomic_load_n(&shared->go, __ATOMIC_SEQ_CST);
        if (told != me) {
            sys::invoke(SYS_futex, &shared->go, FUTEX_WAIT, told, nullptr);
            continue;
        }
        __atomic_store_n(&shared->go, 0, __ATOMIC_SEQ_CST);  // heard: the next one may be told
        if (ready_now(listener, EPOLLIN)) break;
        __atomic_sub_fetch(&shared->told, 1, __ATOMIC_SEQ_CST);
        // Somebody else has taken it.
        if (!become_the_spare(me)) sys::invoke(SYS_exit_group, 0);
        notify();
    }
    sys::signal_mask(SIG_SETMASK, &before);
    copy = true;
    undertaker = nullptr;
}

// A copy that serves must not keep the port: the program may end before it, and be started again.
// The number stays taken, as the program expects.
void let_go_of(int listener) {
    int domain = 0, type = 0;
    socklen_t size = sizeof domain;
    sys::invoke(SYS_getsockopt, listener, SOL_SOCKET, SO_DOMAIN, &domain, &size);
    sys::invoke(SYS_getsockopt, listener, SOL_SOCKET, SO_TYPE, &type, &size);
    long other = sys::invoke(SYS_socket, domain, type | SOCK_CLOEXEC, 0);
    if (other < 0) return;
    long flags = sys::invoke(SYS_fcntl, listener, F_GETFD);
    sys::invoke(SYS_dup3, other, listener, (flags & FD_CLOEXEC) != 0 ? O_CLOEXEC : 0);
    sys::invoke(SYS_close, other);
}

}  // namespace

bool fork_leave_spare(int listener, int connection, bool* copied) {
    if (!copy) {
        if (!start()) return false;
        fork_drop_spare();
        bury();
    }
    if (copy) __atomic_sub_fetch(&shared->told, 1, __ATOMIC_SEQ_CST);
    fflush(nullptr);  // what is in the streams' buffers is to be written once
    long pid = make_process();
    if (pid == 0) {
        sleep_until_told(listener, connection);
        *copied = true;
        return activate();
    }
    fd_forked();
    *copied = false;
    if (pid > 0) {
        __atomic_add_fetch(&shared->made, 1, __ATOMIC_SEQ_CST);
        name_spare(static_cast<int>(pid));
    }
    if (copy) {
        let_go_of(listener);
        notify();
    }
    return pid > 0;
}

bool fork_may_go(unsigned most) {
    return shared != nullptr && __atomic_load_n(&shared->spare, __ATOMIC_SEQ_CST) != 0 &&
           __atomic_load_n(&shared->go, __ATOMIC_SEQ_CST) == 0 && alive() < most;
}

void fork_go() {
    int pid = __atomic_exchange_n(&shared->spare, 0, __ATOMIC_SEQ_CST);
    if (pid == 0) return;
    __atomic_add_fetch(&shared->told, 1, __ATOMIC_SEQ_CST);
    __atomic_store_n(&shared->go, pid, __ATOMIC_SEQ_CST);
    sys::invoke(SYS_futex, &shared->go, FUTEX_WAKE, INT32_MAX);
}

void fork_settle() {
    if (shared == nullptr || copy) return;
    constexpr int most = 200;
    for (int i = 0; __atomic_load_n(&shared->told, __ATOMIC_SEQ_CST) > 0; ++i) {
        if (i == most) {  // it was killed
            __atomic_store_n(&shared->told, 0, __ATOMIC_SEQ_CST);
            return;
        }
        park(Park::sleep, sys::after(sys::millisecond));
    }
}

void fork_drop_spare() {
    if (shared == nullptr) return;
    int pid = __atomic_exchange_n(&shared->spare, 0, __ATOMIC_SEQ_CST);
    if (pid == 0) return;
    sys::invoke(SYS_kill, pid, SIGKILL);
    notify();
}

bool fork_is_copy() { return copy; }

void fork_end() {
    fflush(nullptr);
    notify();
    for (;;) sys::invoke(SYS_exit_group, 0);
}

void fork_end_spare() {
    if (shared == nullptr || sys::invoke(SYS_getpid) != program) return;
    int pid = __atomic_exchange_n(&shared->spare, 0, __ATOMIC_SEQ_CST);
    if (pid == 0) return;
    sys::invoke(SYS_kill, pid, SIGKILL);
    if (sys::invoke(SYS_wait4, pid, nullptr, unsigned{__WCLONE}, nullptr) == pid) ++buried;
}

void fork_forget() {
    if (shared == nullptr) return;
    if (undertaker != nullptr) thread_release(undertaker);
    sys::invoke(SYS_munmap, shared, 4096);
    sys::invoke(SYS_close, notify_fd);
    shared = nullptr;
    undertaker = nullptr;
    notify_fd = -1;
    buried = 0;
    copy = false;
}

}  // namespace green
