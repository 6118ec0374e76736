// A queue is a list of the numbers that are pending, in order; each of its members is the oldest
// signal of that number and leads to the younger ones. So nothing here takes longer with many
// signals than with a few.
//
//     10 --> 12 --> 37 -->
//                    |
//                   37
//                    |
//                   37

#include "hooks/signal_queue.h"

#include <sys/mman.h>
#include <sys/resource.h>

#include "runtime/sys.h"

namespace green {

struct QueuedSignal {
    siginfo_t info;
    QueuedSignal* younger;  // of the same number
    // Of the oldest of a number:
    QueuedSignal* youngest;
    QueuedSignal* next_number;
};

namespace {

constexpr size_t chunk_size = 65536;
QueuedSignal* unused = nullptr;
size_t made = 0;

bool make_room() {
    rlimit limit = {};
    sys::invoke(SYS_prlimit64, 0, RLIMIT_SIGPENDING, nullptr, &limit);
    if (made >= limit.rlim_cur) return false;
    long memory = sys::invoke(SYS_mmap, nullptr, chunk_size, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (sys::failed(memory)) return false;
    auto* chunk = reinterpret_cast<QueuedSignal*>(memory);
    for (size_t i = 0; i < chunk_size / sizeof(QueuedSignal); ++i, ++made) {
        chunk[i].younger = unused;
        unused = &chunk[i];
    }
    return true;
}

void give_back(QueuedSignal* q) {
    q->younger = unused;
    unused = q;
}

// `at` leads to the oldest of a number: the next one takes its place.
void remove_oldest(QueuedSignal** at) {
    QueuedSignal* q = *at;
    if (QueuedSignal* younger = q->younger; younger != nullptr) {
        younger->youngest = q->youngest;
        younger->next_number = q->next_number;
        *at = younger;
    } else {
        *at = q->next_number;
    }
    give_back(q);
}

bool is_of_timer(const siginfo_t& info, int timer) {
    return info.si_code == SI_TIMER && info.si_timerid == timer;
}

}  // namespace

bool queue_signal(QueuedSignal** queue, const siginfo_t& info) {
    int number = info.si_signo;
    QueuedSignal** at = queue;
    while (*at != nullptr && (*at)->info.si_signo < number) at = &(*at)->next_number;
    QueuedSignal* oldest = *at != nullptr && (*at)->info.si_signo == number ? *at : nullptr;
    if (oldest != nullptr && number < SIGRTMIN) return true;
    if (unused == nullptr && !make_room()) return false;
    QueuedSignal* q = unused;
    unused = q->younger;
    *q = {info, nullptr, q, nullptr};
    if (oldest != nullptr) {
        oldest->youngest->younger = q;
        oldest->youngest = q;
    } else {
        q->next_number = *at;
        *at = q;
    }
    return true;
}

bool dequeue_signal(QueuedSignal** queue, Mask allowed, siginfo_t* info) {
    QueuedSignal** at = queue;
    while (*at != nullptr && (bit((*at)->info.si_signo) & allowed) == 0) at = &(*at)->next_number;
    if (*at == nullptr) return false;
    *info = (*at)->info;
    remove_oldest(at);
    return true;
}

void drop_of_timer(QueuedSignal** queue, int signal, int timer) {
    QueuedSignal** at = queue;
    while (*at != nullptr && (*at)->info.si_signo != signal) at = &(*at)->next_number;
    if (*at == nullptr) return;
    if (is_of_timer((*at)->info, timer)) return remove_oldest(at);
    for (QueuedSignal* q = *at; q->younger != nullptr; q = q->younger) {
        QueuedSignal* gone = q->younger;
        if (!is_of_timer(gone->info, timer)) continue;
        q->younger = gone->younger;
        if (gone->younger == nullptr) (*at)->youngest = q;
        give_back(gone);
        return;
    }
}

siginfo_t* queued_of_timer(QueuedSignal* queue, int signal, int timer) {
    while (queue != nullptr && queue->info.si_signo != signal) queue = queue->next_number;
    for (; queue != nullptr; queue = queue->younger) {
        if (is_of_timer(queue->info, timer)) return &queue->info;
    }
    return nullptr;
}

Mask queued_signals(const QueuedSignal* queue) {
    Mask all = 0;
    for (; queue != nullptr; queue = queue->next_number) all |= bit(queue->info.si_signo);
    return all;
}

}  // namespace green
