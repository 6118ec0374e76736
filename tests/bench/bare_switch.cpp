// The bare switch: two contexts, each with a thread block and floating-point control words of its
// own, hand the CPU to each other by what the scheduler uses. Linked with the runtime and its way
// to set the FS base, nothing preloaded.
//
//     bare_switch [SECONDS]     prints "ns <per switch>", of the quickest of many short runs
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <algorithm>

#include "hooks/fs_trap.h"
#include "runtime/context.h"
#include "runtime/thread_block.h"

namespace {

green::Context first, second;

double now() {
    timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return static_cast<double>(time.tv_sec) * 1e9 + static_cast<double>(time.tv_nsec);
}

void answer() {
    for (;;) green::context_switch_by_jump(&second, &first);
}

}  // namespace

int main(int argc, char** argv) {
    constexpr int turns = 10000;
    constexpr size_t stack = 65536;
    const char* why = green::context_prepare();
    if (why == nullptr) why = green::thread_block_prepare();
    if (why != nullptr) {
        fprintf(stderr, "bare_switch: %s\n", why);
        return 1;
    }
    size_t size = (green::thread_block_size() + 4095) / 4096 * 4096;
    auto* memory = static_cast<char*>(aligned_alloc(4096, stack + size));
    std::fill_n(memory, stack + size, 0);
    green::context_make(&second, memory + stack, answer);
    second.fs = green::thread_block_of_helper(memory + stack);
    first.fs = green::context_fs();
    green::fs_trap_start();

    double best = 1e9;
    for (double end = now() + 1e9 * (argc > 1 ? atof(argv[1]) : 0.2); now() < end;) {
        double start = now();
        for (int i = 0; i < turns; i++) green::context_switch_by_jump(&first, &second);
        best = std::min(best, (now() - start) / turns / 2);
    }
    printf("ns %.2f\n", best);
}
