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
    uint64_t stacks = 0;  // in use now, the loop's among them
    uint64_t switches = 0;
    uint64_t parks[static_cast<int>(Park::count)] = {};
    uint64_t preemptions = 0;
    uint64_t offloaded = 0;
    uint64_t uncached_reads = 0;  // of them, reads of files
    uint64_t dns_questions = 0;   // sent to a name server by c-ares
    uint64_t dns_shared = 0;      // answered by one that somebody else had sent
    uint64_t dns_by_libc = 0;     // exchanges that were left to glibc
    uint64_t loop_polls = 0;
    uint64_t pool_waits = 0;     // threads that had to wait to begin (GREEN_POOL)
    uint64_t missed_events = 0;  // waits that only the one-second check ended (see fd_table.h)
};
extern Stats stats;

}  // namespace green
