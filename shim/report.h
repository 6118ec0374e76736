// The counters at exit: GREEN_STATS=stderr (a table for people) or a file (lines for programs).
#pragma once

namespace green {
void report();
}  // namespace green
