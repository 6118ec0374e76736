// The counters at exit: GREEN_STATS=stderr (a table for people) or a file (lines for programs).
#pragma once

namespace green {
// At the start and at the end of the process.
void report_prepare();
void report();
bool report_wanted();  // whether report() would tell anything
}  // namespace green
