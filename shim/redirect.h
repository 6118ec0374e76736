// The second layer of interception: libc's own entries lead to the hooks.
#pragma once

namespace green {

// Overwrites the entry of every libc function whose hook says `redirected`. Null, or a sentence:
// why it could not be done (then nothing was changed). One kernel thread must be running.
const char* redirect_libc();

// How many entries were overwritten, and how many were too short to be.
extern int redirected_entries, unredirected_entries;

}  // namespace green
