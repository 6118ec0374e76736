// The helpers of offload.h: raw clone(2), a queue under a spin lock, futexes to sleep on.
//
// The code that helpers run must not touch thread-local variables of the program's threads: each
// has a zeroed thread block, so `self` is null there, and nothing in it sets errno.
//
// Cutting a call short takes a signal: 33, glibc's own for setuid(2) in all threads, which it never
// sends here (hooks/identity.cpp) and lets no program touch. A helper has all others blocked. The
// signal may come just before the helper enters the kernel and then cuts nothing, so it is sent
// again every millisecond until the call is over; or just after, and then cuts the helper's next
// call, which is made again.

#include "runtime/offload.h"

#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>

#include <algorithm>
#include <iterator>
#include <new>

#include "runtime/loop.h"
#include "runtime/scheduler.h"
#include "runtime/slice.h"

namespace green {

namespace {

struct Job {
    long number;
    long arguments[6];
    Lasts lasts;
    Thread* thread;
    Job* next = nullptr;
    long result = 0;
    pid_t helper = 0;  // who has taken it
    bool cut_short = false;
    bool done = false;
};

// Shared with the helpers; the lock is held for a few instructions only.
int lock = 0;
Job* queue_head = nullptr;
Job* queue_tail = nullptr;
Job* finished = nullptr;
uint32_t handed_over = 0;  // counts jobs; helpers sleep on it
int queued = 0;
int helpers = 0;
int idle = 0;  // of them, those that have no job, or have done theirs
bool retiring = false;
uint32_t identity = 0;  // counts offload_renew(); a helper's own lies at the low end of its stack
int outdated = 0;       // helpers of former identities, which take no job any more

// The green side's alone.
int endless_calls = 0;
bool signal_prepared = false;

constexpr size_t helper_stack = 65536;
constexpr timespec idle_time = {0, 50'000'000};  // and then a helper ends
constexpr int cut_signal = 33;
constexpr uint64_t all_signals = ~uint64_t{0};
constexpr uint64_t all_but_cut = ~(uint64_t{1} << (cut_signal - 1));

class Locked {
  public:
    Locked() {
        while (__atomic_exchange_n(&lock, 1, __ATOMIC_ACQUIRE) != 0) sys::invoke(SYS_sched_yield);
    }
    ~Locked() { __atomic_store_n(&lock, 0, __ATOMIC_RELEASE); }
    Locked(const Locked&) = delete;
    Locked& operator=(const Locked&) = delete;
};

bool is_outdated(const char* memory) {
    return *reinterpret_cast<const uint32_t*>(memory) !=
           __atomic_load_n(&identity, __ATOMIC_RELAXED);
}

Job* take_job(pid_t me, const char* memory) {
    Locked scope;
    Job* job = queue_head;
    if (job == nullptr || is_outdated(memory)) return nullptr;
    --idle;
    --queued;
    queue_head = job->next;
    if (queue_head == nullptr) queue_tail = nullptr;
    job->helper = me;
    return job;
}

bool was_cut_short(Job* job) {
    Locked scope;
    return job->cut_short;
}

size_t helper_bytes() { return (helper_stack + thread_block_size() + 4095) & ~size_t{4095}; }

// A helper ends, if there is nothing to do. It gives its stack back, and touches it no more.
void leave_if_idle(char* memory) {
    {
        Locked scope;
        if (is_outdated(memory)) {
            --outdated;
        } else {
            if (queue_head != nullptr) return;
            --helpers;
            --idle;
        }
    }
    sys::signal_mask(SIG_SETMASK, &all_signals);
#if defined(__x86_64__)
    asm volatile(
        "syscall\n"
        "xorl %%edi, %%edi\n"
        "movl %[exit], %%eax\n"
        "syscall\n"
        "ud2\n"
        :
        : "a"(SYS_munmap), "D"(memory), "S"(helper_bytes()), [exit] "i"(SYS_exit)
        : "rcx", "r11", "memory");
#else
    sys::invoke(SYS_exit, 0);
#endif
    __builtin_unreachable();
}

// `memory`: the helper's own stack and thread block.
[[noreturn]] void helper_main(char* memory) {
    auto me = static_cast<pid_t>(sys::invoke(SYS_gettid));
    for (;;) {
        uint32_t seen = __atomic_load_n(&handed_over, __ATOMIC_ACQUIRE);
        Job* job = take_job(me, memory);
        if (job == nullptr) {
            if (is_outdated(memory)) leave_if_idle(memory);
            long r = sys::invoke(SYS_futex, &handed_over, FUTEX_WAIT_PRIVATE, seen, &idle_time);
            if (r == -ETIMEDOUT || __atomic_load_n(&retiring, __ATOMIC_ACQUIRE)) {
                leave_if_idle(memory);
            }
            continue;
        }
        const long* a = job->arguments;
        do {
            job->result = sys::call(job->number, a[0], a[1], a[2], a[3], a[4], a[5]);
        } while (job->result == -EINTR && !was_cut_short(job));
        {
            Locked scope;
            job->helper = 0;
            if (!is_outdated(memory)) ++idle;
            job->next = finished;
            finished = job;
        }
        loop_wake();
    }
}

// clone(2) onto a stack that begins with the address of the child's function and its argument.
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
        "popq %%rdi\n"
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
    size_t block = thread_block_size(), bytes = helper_bytes();
    long memory = sys::invoke(SYS_mmap, nullptr, bytes, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    if (sys::failed(memory)) return memory;
    char* tls = thread_block_of_helper(reinterpret_cast<char*>(memory) + bytes - block);
    // Both words are popped, and the function is then called with the stack aligned to 16.
    auto top =
        ((static_cast<uintptr_t>(memory) + bytes - block) & ~uintptr_t{63}) - 2 * sizeof(long);
    reinterpret_cast<long*>(top)[0] = reinterpret_cast<long>(helper_main);
    reinterpret_cast<long*>(top)[1] = memory;
    *reinterpret_cast<uint32_t*>(memory) = identity;

    uint64_t before = 0;
    uint64_t meanwhile = (signal_prepared ? all_but_cut : all_signals) & ~context_signals;
    sys::signal_mask(SIG_SETMASK, &meanwhile, &before);
    long result = clone_helper(top, tls);
    sys::signal_mask(SIG_SETMASK, &before);
    if (sys::failed(result)) sys::invoke(SYS_munmap, memory, bytes);
    return result;
}

// Starts a helper if all have work. False if there is none at all.
bool have_helper() {
    {
        Locked scope;
        int most = most_helpers + std::min(endless_calls, most_endless_calls);
        if (idle >= queued || helpers >= most) return helpers > 0;
        ++helpers;
        ++idle;
    }
    if (start_helper() > 0) return true;
    Locked scope;
    --helpers;
    --idle;
    return helpers > 0;
}

void nothing(int) {}

// Without SA_RESTART: the call is to fail.
void prepare_signal() {
    sys::SignalAction action = {nothing, sys::sa_restorer, sys::green_restore_frame, 0};
    signal_prepared = !sys::failed(sys::signal_action(cut_signal, &action));
}

// Takes the job back, or sends its helper a signal. True if it was still in the queue.
bool cut_short(Job* job) {
    Locked scope;
    if (job->helper != 0) {
        job->cut_short = true;
        sys::invoke(SYS_tgkill, sys::invoke(SYS_getpid), job->helper, cut_signal);
        return false;
    }
    Job* before = nullptr;
    for (Job* j = queue_head; j != nullptr; before = j, j = j->next) {
        if (j != job) continue;
        (before == nullptr ? queue_head : before->next) = job->next;
        if (queue_tail == job) queue_tail = before;
        --queued;
        return true;
    }
    return false;  // it has been done
}

// Until the job is done, or was taken back.
long wait_for(Job* job) {
    bool interrupted = false;
    while (!job->done) {
        bool cut = interrupted && job->lasts == Lasts::endlessly && signal_prepared;
        if (cut && cut_short(job)) return -EINTR;
        sys::Deadline again = cut ? sys::after(sys::millisecond) : sys::never;
        if (park(Park::offload, again) == Wake::interrupted) interrupted = true;
    }
    // Done before it could be cut short: whoever asked is answered at the next wait.
    if (interrupted && job->result != -EINTR) interrupt(self);
    return job->result;
}

long make_call(const Job& job) {
    const long* a = job.arguments;
    return sys::call(job.number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

long hand_over(Job* job) {
    {
        Locked scope;
        (queue_tail == nullptr ? queue_head : queue_tail->next) = job;
        queue_tail = job;
        ++queued;
    }
    if (!have_helper() && cut_short(job)) return make_call(*job);
    __atomic_add_fetch(&handed_over, 1, __ATOMIC_RELEASE);
    sys::invoke(SYS_futex, &handed_over, FUTEX_WAKE_PRIVATE, 1);
    ++stats.offloaded;
    return wait_for(job);
}

bool takes_pieces(long number) {
    constexpr long numbers[] = {SYS_readv,   SYS_writev,   SYS_preadv,  SYS_pwritev,
                                SYS_preadv2, SYS_pwritev2, SYS_vmsplice};
    return std::find(std::begin(numbers), std::end(numbers), number) != std::end(numbers);
}

// A flow's stack holds another flow's frames while it is parked (slice.h). So the job lies
// elsewhere, and with it a copy of the stack from the lowest address that the call is given; what
// the kernel has changed there is copied back. Nothing else on this stack changes meanwhile.
long hand_over_from_slice(const Job& job) {
    auto* pieces = takes_pieces(job.number) ? reinterpret_cast<iovec*>(job.arguments[1]) : nullptr;
    auto count = static_cast<size_t>(pieces == nullptr ? 0 : job.arguments[2]);
    size_t size = 0;
    for (long a : job.arguments) size = std::max(size, shared_stack_above(a));
    for (size_t i = 0; i < count; ++i) {
        size = std::max(size, shared_stack_above(sys::arg(pieces[i].iov_base)));
    }
    struct Kept {
        Job job;
        iovec pieces[1];
    };
    StackSlot slot;
    size_t bytes = (size + 63) / 64 * 64;
    if (!stack_allocate(bytes + sizeof(Kept) + count * sizeof(iovec), 0, &slot)) {
        return make_call(job);
    }
    char* low = shared_stack_base() - size;
    memcpy(slot.base, low, size);
    auto* kept = new (slot.base + bytes) Kept{job, {}};
    auto moved = [&](long a) {
        return shared_stack_above(a) == 0 ? a : a - sys::arg(low) + sys::arg(slot.base);
    };
    for (long& a : kept->job.arguments) a = moved(a);
    for (size_t i = 0; i < count; ++i) {
        auto* at = reinterpret_cast<void*>(moved(sys::arg(pieces[i].iov_base)));
        kept->pieces[i] = {at, pieces[i].iov_len};
    }
    if (count > 0) kept->job.arguments[1] = sys::arg(&kept->pieces[0]);
    long result = hand_over(&kept->job);
    memcpy(low, slot.base, size);
    stack_free(slot, 0);
    return result;
}

}  // namespace

long offload(Lasts lasts, long number, long a, long b, long c, long d, long e, long f) {
    bool endless = lasts == Lasts::endlessly;
    if (!signal_prepared) prepare_signal();
    if (endless) ++endless_calls;
    Job job = {number, {a, b, c, d, e, f}, lasts, self};
    long result = self->slice != nullptr ? hand_over_from_slice(job) : hand_over(&job);
    if (endless) --endless_calls;
    return result;
}

// Who has done a job may have left already, if nobody looked for 50 ms: the list is what counts.
void offload_collect() {
    if (__atomic_load_n(&finished, __ATOMIC_RELAXED) == nullptr) return;
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

int offload_helpers() {
    Locked scope;
    return helpers + outdated;
}

void wake_helpers() {
    __atomic_add_fetch(&handed_over, 1, __ATOMIC_RELEASE);
    sys::invoke(SYS_futex, &handed_over, FUTEX_WAKE_PRIVATE, most_helpers + most_endless_calls);
}

void offload_renew() {
    int jobs;
    {
        Locked scope;
        if (helpers == 0) return;
        __atomic_add_fetch(&identity, 1, __ATOMIC_RELAXED);
        outdated += helpers;
        helpers = idle = 0;
        jobs = queued;
    }
    wake_helpers();
    for (; jobs > 0; --jobs) have_helper();
}

void offload_retire() {
    if (offload_helpers() == 0) return;
    __atomic_store_n(&retiring, true, __ATOMIC_RELEASE);
    wake_helpers();
    timespec moment = {0, 200'000};
    constexpr int most_moments = 50;
    for (int i = 0; i < most_moments && sys::kernel_threads() > 1; ++i) {
        sys::invoke(SYS_nanosleep, &moment, nullptr);
    }
}

void offload_abandon() {
    lock = queued = idle = helpers = outdated = endless_calls = 0;
    signal_prepared = retiring = false;
    queue_head = queue_tail = finished = nullptr;
}

}  // namespace green
