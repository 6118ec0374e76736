// The library's counters: what a run did, for --stats and for the tests. Plain numbers, written by
// the one kernel thread; shim/report.cpp prints them.
#pragma once

#include <stdint.h>

namespace green {

enum class Park : uint8_t { fd, address, sleep, offload, count };

struct Stats {
    uint64_t threads_made = 0;
    uint64_t threads_alive = 1;
    uint64_t threads_peak = 1;
    uint64_t switches = 0;
    uint64_t parks[static_cast<int>(Park::count)] = {};
    uint64_t preemptions = 0;
    uint64_t offloaded = 0;
    uint64_t loop_polls = 0;
    uint64_t missed_events = 0;  // waits that only the one-second check ended (see fd_table.h)
};
extern Stats stats;

}  // namespace green
