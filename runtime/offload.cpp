// The helpers of offload.h: raw clone(2), a queue under a spin lock, futexes to sleep on.
//
// The code that helpers run must not touch thread-local variables of the program's threads: each
// has a zeroed thread block, so `self` is null there, and nothing in it sets errno.

#include "runtime/offload.h"

#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>

#include "runtime/loop.h"
#include "runtime/scheduler.h"

namespace green {

namespace {

struct Job {
    long number;
    long arguments[6];
    long result;
    Thread* thread;
    Job* next;
    bool done;
};

// Shared with the helpers; the lock is held for a few instructions only.
int lock = 0;
Job* queue_head = nullptr;
Job* queue_tail = nullptr;
Job* finished = nullptr;
uint32_t handed_over = 0;  // counts jobs; helpers sleep on it
int idle = 0;

int helpers = 0;  // the green side's alone

constexpr size_t helper_stack = 65536;
constexpr uint64_t all_signals = ~uint64_t{0};
constexpr size_t mask_size = 8;

class Locked {
  public:
    Locked() {
        while (__atomic_exchange_n(&lock, 1, __ATOMIC_ACQUIRE) != 0) sys::invoke(SYS_sched_yield);
    }
    ~Locked() { __atomic_store_n(&lock, 0, __ATOMIC_RELEASE); }
    Locked(const Locked&) = delete;
    Locked& operator=(const Locked&) = delete;
};

Job* take_job() {
    Locked scope;
    Job* job = queue_head;
    if (job == nullptr) {
        ++idle;
        return nullptr;
    }
    queue_head = job->next;
    if (queue_head == nullptr) queue_tail = nullptr;
    return job;
}

[[noreturn]] void helper_main() {
    for (;;) {
        uint32_t seen = __atomic_load_n(&handed_over, __ATOMIC_ACQUIRE);
        Job* job = take_job();
        if (job == nullptr) {
            sys::invoke(SYS_futex, &handed_over, FUTEX_WAIT_PRIVATE, seen, nullptr);
            Locked scope;
            --idle;
            continue;
        }
        const long* a = job->arguments;
        job->result = sys::call(job->number, a[0], a[1], a[2], a[3], a[4], a[5]);
        {
            Locked scope;
            job->next = finished;
            finished = job;
        }
        loop_wake();
    }
}

// clone(2) onto a stack that begins with the address of the child's function.
long clone_helper(uintptr_t top, char* tls) {
#if defined(__x86_64__)
    long flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM |
                 CLONE_SETTLS;
    long result;
    register long tls_register asm("r8") = reinterpret_cast<long>(tls);
    register long child_tid asm("r10") = 0;
    asm volatile(
        "syscall\n"
        "testq %%rax, %%rax\n"
        "jne 1f\n"
        "xorl %%ebp, %%ebp\n"
        "popq %%rax\n"  // the child, on its own stack
        "call *%%rax\n"
        "ud2\n"
        "1:\n"
        : "=a"(result)
        : "a"(SYS_clone), "D"(flags), "S"(top), "d"(0L), "r"(child_tid), "r"(tls_register)
        : "rcx", "r11", "memory");
    return result;
#else
    (void)top, (void)tls;
    return -ENOSYS;
#endif
}

// A helper with a stack and a thread block of its own. Negative: a negated errno.
long start_helper() {
    size_t block = thread_block_size();
    size_t bytes = (helper_stack + block + 4095) & ~size_t{4095};
    long memory = sys::invoke(SYS_mmap, nullptr, bytes, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    if (sys::failed(memory)) return memory;
    char* tls = thread_block_of_helper(reinterpret_cast<char*>(memory) + bytes - block);
    // The entry function's address is popped, and then called with the stack aligned to 16.
    auto top = ((static_cast<uintptr_t>(memory) + bytes - block) & ~uintptr_t{63}) - sizeof(void*);
    *reinterpret_cast<void**>(top) = reinterpret_cast<void*>(helper_main);

    uint64_t before = 0;
    sys::invoke(SYS_rt_sigprocmask, SIG_SETMASK, &all_signals, &before, mask_size);
    long result = clone_helper(top, tls);
    sys::invoke(SYS_rt_sigprocmask, SIG_SETMASK, &before, nullptr, mask_size);
    if (sys::failed(result)) sys::invoke(SYS_munmap, memory, bytes);
    return result;
}

// Whether somebody will take the job that is about to be queued.
bool have_helper() {
    bool busy;
    {
        Locked scope;
        busy = idle == 0 || queue_head != nullptr;
    }
    if (busy && helpers < most_helpers && start_helper() > 0) ++helpers;
    return helpers > 0;
}

}  // namespace

long offload(long number, long a, long b, long c, long d, long e, long f) {
    if (!have_helper()) return sys::call(number, a, b, c, d, e, f);
    Job job = {number, {a, b, c, d, e, f}, 0, self, nullptr, false};
    {
        Locked scope;
        (queue_tail == nullptr ? queue_head : queue_tail->next) = &job;
        queue_tail = &job;
    }
    __atomic_add_fetch(&handed_over, 1, __ATOMIC_RELEASE);
    sys::invoke(SYS_futex, &handed_over, FUTEX_WAKE_PRIVATE, 1);
    ++stats.offloaded;
    bool interrupted = false;
    while (!job.done) interrupted = park(Park::offload) == Wake::interrupted || interrupted;
    if (interrupted) interrupt(self);  // whoever asked is answered at the next wait
    return job.result;
}

void offload_collect() {
    if (helpers == 0) return;
    Job* list;
    {
        Locked scope;
        list = finished;
        finished = nullptr;
    }
    while (list != nullptr) {
        Job* next = list->next;  // the job is gone once its thread runs
        list->done = true;
        unpark(list->thread);
        list = next;
    }
}

void offload_abandon() {
    lock = idle = helpers = 0;
    queue_head = queue_tail = finished = nullptr;
}

}  // namespace green
