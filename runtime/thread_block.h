// Thread blocks: a real glibc `struct pthread` with its static TLS for each green thread.
//
// With one, everything a C library keeps per thread is right by construction: errno, __thread and
// thread_local variables, exceptions in flight, the locale, pthread_self, pthread_getspecific, and
// who owns a mutex. The layout comes from ld.so (_dl_allocate_tls) and from the table glibc exports
// for debuggers (_thread_db_*); nothing is guessed, and thread_block_prepare() checks what it can
// against the main thread before anything is built on it.
//
//      static TLS of the modules (libc's among them)    struct pthread
//     +--------------------------------------------+----------------------------------+
//     | ... | libgreen | ... | libc: tcache, errno | tcb self guards tid specific ... |
//     +--------------------------------------------+----------------------------------+
//     ^ memory                                     ^ FS base == pthread_t
//
// The memory is the caller's: it is the upper end of the thread's stack, as in glibc. A block is
// reused for the next thread on that stack but never taken apart: glibc's way to empty a thread's
// malloc cache is not exported, so libc's TLS segment stays and its cache serves the next thread.
//
// make and the destructors call into ld.so and libc (malloc): only from a program's thread in a
// hook, never from the scheduler.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

namespace green {

// Looks up the platform's tables and checks them. Null, or a sentence: why there can be no green
// threads in this process. Idempotent; before anything else here.
const char* thread_block_prepare();

// Bytes that a block needs, a multiple of its alignment; and that: 64, or more where a library has
// a stricter thread-local variable, a page at most.
size_t thread_block_size();
size_t thread_block_alignment();

// Makes a block for a new thread in `memory` (aligned so). `fresh`: the memory is all zeroes;
// else it holds the block of a thread that has ended, or what a failure left. Returns the FS base,
// or null without memory.
void* thread_block_make(void* memory, bool fresh, pid_t tid);

// The block of a kernel thread that runs no code of libc's or the program's: `memory` is zeroes,
// all thread-local variables read as such. Returns the FS base.
char* thread_block_of_helper(void* memory);

// Marks a block as that of a thread that is gone, so that libc's functions answer ESRCH.
void thread_block_end(void* block);

// The first thing a new thread does, on its own block: ctype tables, the global locale, a resolver
// state of its own (resolver_state_size bytes of zeroes, which live as long as the thread).
void thread_block_start(void* resolver_state);
constexpr size_t resolver_state_size = 568;

// A look-up is under way on the calling thread, with this struct resolv_context of libc's. A thread
// that is cancelled in one leaves it behind in libc's TLS, where the block's next thread would find
// it: from the first call on it is known where.
void thread_block_note_look_up(void* resolver_context);

// Whether a thread has disabled its cancellation, or made it asynchronous: libc's own note, because
// the functions inside libc that must not be left half-way disable it without a symbol.
int* thread_block_cancel_word(void* block);
bool thread_block_cancel_disabled(void* block);
bool thread_block_cancel_asynchronous(void* block);

// The last things a thread does: its C++ thread_local destructors and those of
// pthread_key_create(3), what its look-ups keep; then robust mutexes that it still holds get their
// EOWNERDEAD mark (pthread_mutexattr_setrobust(3)) and `released` is told each one's address.
void thread_block_run_destructors();
void thread_block_release_robust(void (*released)(void* mutex));

// Moves a robust mutex that the caller has just locked, by its list node, to the list of the
// process's first thread: the one that the kernel looks through when the process dies.
void thread_block_robust_to_first(void* node);

// The main thread's pthread_exit ends in libc's start-up code, which would end the only kernel
// thread. This makes it continue in `landing` (which must not return) with the stack unwound.
// Called on the main thread. False if the start-up frame was not found.
bool thread_block_redirect_main_exit(void (*landing)());

// Parts of a block that belong to what it executes: the thread's id, by which locks know their
// owner, and the innermost cleanup frames (of pthread_cleanup_push(3), two kinds).
pid_t* thread_block_tid(void* block);
void* thread_block_cleanup(void* block);
constexpr size_t thread_block_cleanup_size = 16;

// After a clone(2) that is not libc's, in the child, on the caller's block: the robust list is the
// parent's no longer.
void thread_block_after_fork();

// The address in `block` of a thread-local variable whose address for the caller is `mine`.
template <class T>
T* thread_local_in(void* block, T* mine) {
    auto distance = reinterpret_cast<char*>(mine) - static_cast<char*>(__builtin_thread_pointer());
    return reinterpret_cast<T*>(static_cast<char*>(block) + distance);
}

}  // namespace green
