// Waiting for an io_uring's completions and for those of kernel aio (uring.cpp), by system call
// number: see hooks/syscall.cpp. The kernel's convention for results.
#pragma once

namespace green {

// The six arguments of io_uring_enter(2), io_getevents(2) and io_pgetevents(2).
long green_uring_enter(const long* a);
long green_io_getevents(const long* a);
long green_io_pgetevents(const long* a);

// A ring was made, with these flags (IORING_SETUP_...).
void green_uring_made(int fd, unsigned setup_flags);

}  // namespace green
