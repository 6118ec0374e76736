// Nothing in this library throws. libstdc++'s memory for exceptions would nevertheless be linked in
// by its std::terminate(), with a constructor that asks malloc(3) for an emergency store; and ours
// run before libc's own (-z initfirst). An allocator that makes a thread when it is first asked
// (jemalloc) then made it in a process whose `environ` is not set up yet, and loading a library for
// the thread initialised libc with no arguments and no environment. These take that part's place.

#include <stdlib.h>

// The names are the C++ ABI's.
extern "C" {
void* __cxa_allocate_exception(size_t);
void __cxa_free_exception(void*);
void* __cxa_allocate_dependent_exception();
void __cxa_free_dependent_exception(void*);

void* __cxa_allocate_exception(size_t) { abort(); }
void __cxa_free_exception(void*) {}
void* __cxa_allocate_dependent_exception() { abort(); }
void __cxa_free_dependent_exception(void*) {}
}
