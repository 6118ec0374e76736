// The settings: environment variables GREEN_*, in one table (shim/config.cpp).
#pragma once

#include "hooks/accept_modes.h"
#include "hooks/resolver.h"

namespace green {

struct Config {
    bool enabled = true;           // GREEN=off: be there and do nothing
    bool warn = true;              // GREEN_WARN=0: no warnings on stderr
    char stats[4096] = "";         // GREEN_STATS: "stderr", or the absolute path of a file
    unsigned long stack_size = 0;  // GREEN_STACK: bytes, with K, M or G; 0: as libc says
    bool inherit = true;           // GREEN_INHERIT=0: programs that this one starts run natively
    bool call_for_fs = false;      // GREEN_FSBASE=call: never the trap of hooks/fs_trap.h
    bool audit = false;            // GREEN_AUDIT=1: look for calls that got past the hooks
    AcceptMode accept = AcceptMode::off;     // GREEN_ACCEPT: how a one-at-a-time server serves many
    unsigned max_flows = 1024;               // GREEN_MAX_FLOWS: and how many at most
    unsigned long preempt_slice = 10000000;  // GREEN_PREEMPT: "off", or the slice, in nanoseconds
    Resolver resolver = Resolver::automatic;  // GREEN_RESOLVER
    unsigned pool = 0;      // GREEN_POOL: how many threads of one creator run at a time
    char worker[128] = "";  // GREEN_WORKER: how a worker reaches its supervisor
};
extern Config config;

// Reads the settings from an environment (environ(7)). A bad value is one warning on stderr, and
// the default. GREEN_INHERIT=0 takes the library out of LD_PRELOAD there.
void config_read(char** environment);

}  // namespace green
