// pthread_exit and cancellation in C++: the forced unwind runs the destructors of every frame it
// leaves, enters catch (...) blocks that rethrow, and then the thread_local destructors run. The
// destructors wait, so that other threads unwind at the same time.
//
// PARITY: switches=60 threads=22
#include <cxxabi.h>

#include <string>
#include <vector>

#include "thread.h"

namespace {

constexpr int threads = 20;
std::string log_of[threads + 2];
pthread_barrier_t barrier;
sem_t ready;

struct Noisy {
    long who;
    const char* text;
    ~Noisy() {
        sched_yield();
        log_of[who] += text;
    }
};

struct AtThreadEnd {
    long who = -1;
    ~AtThreadEnd() {
        sched_yield();
        if (who >= 0) log_of[who] += " thread_local";
    }
};
thread_local AtThreadEnd at_thread_end;

void inner(long who) {
    Noisy noisy{who, " inner"};
    std::vector<std::string> owned(10, "freed by the unwind, says the leak checker");
    pthread_barrier_wait(&barrier);
    pthread_exit(reinterpret_cast<void*>(who + 100));
}

void* leave_by_exit(void* arg) {
    long who = reinterpret_cast<long>(arg);
    at_thread_end.who = who;
    Noisy noisy{who, " outer"};
    try {
        Noisy middle{who, " middle"};
        inner(who);
    } catch (abi::__forced_unwind&) {
        sched_yield();
        log_of[who] += " caught";
        throw;
    }
    return nullptr;
}

void* leave_by_cancel(void* arg) {
    long who = reinterpret_cast<long>(arg);
    at_thread_end.who = who;
    Noisy noisy{who, " outer"};
    try {
        Noisy inner{who, " inner"};
        sem_post(&ready);
        sleep(1000);
    } catch (...) {
        log_of[who] += " caught";
        throw;
    }
    return nullptr;
}

void* exit_inside_catch(void* arg) {
    long who = reinterpret_cast<long>(arg);
    Noisy noisy{who, " outer"};
    try {
        throw std::string("an exception that is being handled");
    } catch (std::string&) {
        sched_yield();
        pthread_exit(nullptr);
    }
    return nullptr;
}

}  // namespace

int main() {
    pthread_barrier_init(&barrier, nullptr, threads);
    sem_init(&ready, 0, 0);
    std::vector<pthread_t> all;
    for (long i = 0; i < threads; i++)
        all.push_back(spawn(leave_by_exit, reinterpret_cast<void*>(i)));
    for (long i = 0; i < threads; i++) {
        long result = reinterpret_cast<long>(finish(all[i]));
        printf("%ld:%s\n", result, log_of[i].c_str());
    }
    pthread_t cancelled = spawn(leave_by_cancel, reinterpret_cast<void*>(long{threads}));
    sem_wait(&ready);
    pthread_cancel(cancelled);
    CHECK(finish(cancelled) == PTHREAD_CANCELED);
    printf("cancelled:%s\n", log_of[threads].c_str());
    finish(spawn(exit_inside_catch, reinterpret_cast<void*>(long{threads + 1})));
    printf("inside catch:%s\n", log_of[threads + 1].c_str());
}
