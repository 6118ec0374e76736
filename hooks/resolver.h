// How host names are looked up: what GREEN_RESOLVER asked for, and what was made of it.
#pragma once

namespace green {

enum class Resolver : int { automatic, cares, libc, threads };

// Set by shim/.
extern Resolver resolver;

// What look-ups in the background and on kernel threads leave behind.
void lookup_threads_after_fork_in_child();
void lookup_async_after_fork_in_child();

// For the report: who talks to the name servers, and why.
const char* resolver_name();
const char* resolver_reason();

}  // namespace green
