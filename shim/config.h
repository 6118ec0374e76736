// The settings: environment variables GREEN_*, in one table (shim/config.cpp).
#pragma once

namespace green {

struct Config {
    bool enabled = true;           // GREEN=off: be there and do nothing
    bool warn = true;              // GREEN_WARN=0: no warnings on stderr
    char stats[4096] = "";         // GREEN_STATS: "stderr", or the absolute path of a file
    unsigned long stack_size = 0;  // GREEN_STACK: bytes, with K, M or G; 0: as libc says
    bool inherit = true;           // GREEN_INHERIT=0: programs that this one starts run natively
    unsigned preempt_ms = 10;      // GREEN_PREEMPT: "off", or the slice in ms of CPU time
};
extern Config config;

// Reads the settings from an environment (environ(7)). A bad value is one warning on stderr, and
// the default. GREEN_INHERIT=0 takes the library out of LD_PRELOAD there.
void config_read(char** environment);

}  // namespace green
