// How a thread block is made of what glibc exports: see thread_block.h for what and why.
//
// Facts used, all of glibc 2.34 and later on x86-64:
//  - the thread control block starts with {tcb, dtv, self, multiple_threads, sysinfo, stack guard
//  at
//    0x28, pointer guard at 0x30}: fixed by the compiler's ABI for the stack protector;
//  - the first 32 pthread keys' values stand right before the array that
//  _thread_db_pthread_specific
//    names, and its first element points at them;
//  - the robust list's head is what the kernel says it is (get_robust_list(2));
//  - the pointer to the innermost pthread_cleanup frame, and those to the buffers of strsignal(3)
//  and
//    strerror(3), are found by making libc set one and looking for it.

#include "runtime/thread_block.h"

#include <dlfcn.h>
#include <link.h>
#include <locale.h>
#include <pthread.h>
#include <resolv.h>
#undef p_type  // a macro of <resolv.h> that hides a field of Elf64_Phdr
#include <stdlib.h>
#include <string.h>

#include "runtime/sys.h"

namespace green {

namespace {

struct TcbHead {
    void* tcb;
    void* dtv;
    void* self;
    int multiple_threads;
    int unused;
    uintptr_t sysinfo;
    uintptr_t stack_guard;
    uintptr_t pointer_guard;
};
static_assert(offsetof(TcbHead, stack_guard) == 0x28 && offsetof(TcbHead, pointer_guard) == 0x30);

struct KeyData {
    uintptr_t seq;
    void* data;
};
struct Key {
    uintptr_t seq;  // odd while the key is in use
    void (*destructor)(void*);
};
constexpr size_t keys_per_level = 32;

// <nptl_db> descriptors: size in bits, number of elements, offset in bytes.
struct DbField {
    uint32_t bits, count, offset;
};

struct ListNode {
    ListNode *next, *previous;
};

struct RobustHead {
    void* list;
    long futex_offset;
    void* pending;
};

struct Layout {
    size_t static_size = 0;   // static TLS and struct pthread together
    size_t pthread_size = 0;  // struct pthread
    size_t tid = 0, list = 0, specific = 0, robust = 0, cleanup = 0;
    size_t messages = 0;     // 0: not kept there by this version
    ptrdiff_t libc_tls = 0;  // from the FS base to libc's TLS segment
    size_t libc_tls_size = 0;
    ptrdiff_t resp = 0;  // from the FS base to the thread's resolver state pointer
    long robust_futex_offset = 0;
    const ptrdiff_t* rseq = nullptr;  // absent before glibc 2.35
    Key* keys = nullptr;
    void* (*allocate_tls)(void*) = nullptr;
    void (*deallocate_tls)(void*, bool) = nullptr;
    void (*call_tls_dtors)() = nullptr;
    void (*ctype_init)() = nullptr;
};
Layout layout;
bool prepared = false;

char* block_at(void* block, ptrdiff_t offset) { return static_cast<char*>(block) + offset; }

template <class T>
T& field(void* block, ptrdiff_t offset) {
    return *reinterpret_cast<T*>(block_at(block, offset));
}

template <class T>
bool look_up(T*& result, const char* name, const char* version) {
    result = reinterpret_cast<T*>(dlvsym(RTLD_DEFAULT, name, version));
    return result != nullptr;
}

int find_libc_tls(dl_phdr_info* info, size_t, void* result) {
    if (strstr(info->dlpi_name, "libc.so.6") == nullptr) return 0;
    for (int i = 0; i < info->dlpi_phnum; ++i) {
        if (info->dlpi_phdr[i].p_type != PT_TLS) continue;
        layout.libc_tls_size = info->dlpi_phdr[i].p_memsz;
        *static_cast<void**>(result) = info->dlpi_tls_data;
        return 1;
    }
    return 0;
}

// Where in struct pthread a pointer lies that libc has just put there; 0 if nowhere.
size_t find_pointer(void* block, const void* pointer) {
    for (size_t at = 0; at + sizeof(void*) <= layout.pthread_size; at += sizeof(void*)) {
        if (field<void*>(block, static_cast<ptrdiff_t>(at)) == pointer) return at;
    }
    return 0;
}

extern "C" void __pthread_register_cancel(__pthread_unwind_buf_t*);
extern "C" void __pthread_unregister_cancel(__pthread_unwind_buf_t*);

size_t find_cleanup_field(void* block) {
    __pthread_unwind_buf_t probe = {};
    __pthread_register_cancel(&probe);
    size_t found = find_pointer(block, &probe);
    __pthread_unregister_cancel(&probe);
    return found;
}

// strsignal's buffer lies right before strerror's.
size_t find_message_buffers(void* block) {
    constexpr int no_such_error = 1 << 20;
    size_t second = find_pointer(block, strerror(no_such_error));
    return second == 0 ? 0 : second - sizeof(void*);
}

const char* look_up_all() {
#if !defined(__x86_64__)
    return "this CPU is not supported";
#endif
    const char* const priv = "GLIBC_PRIVATE";
    void (*static_info)(size_t*, size_t*) = nullptr;
    const uint32_t* pthread_size = nullptr;
    const DbField *tid = nullptr, *list = nullptr, *specific = nullptr;
    bool all = look_up(layout.allocate_tls, "_dl_allocate_tls", priv) &&
               look_up(layout.deallocate_tls, "_dl_deallocate_tls", priv) &&
               look_up(static_info, "_dl_get_tls_static_info", priv) &&
               look_up(layout.call_tls_dtors, "__call_tls_dtors", priv) &&
               look_up(layout.ctype_init, "__ctype_init", priv) &&
               look_up(pthread_size, "_thread_db_sizeof_pthread", priv) &&
               look_up(tid, "_thread_db_pthread_tid", priv) &&
               look_up(list, "_thread_db_pthread_list", priv) &&
               look_up(specific, "_thread_db_pthread_specific", priv) &&
               look_up(layout.keys, "__pthread_keys", priv);
    if (!all) return "this C library does not export what thread blocks are made of";

    layout.rseq = static_cast<const ptrdiff_t*>(dlsym(RTLD_DEFAULT, "__rseq_offset"));

    void* me = __builtin_thread_pointer();
    size_t align = 0;
    static_info(&layout.static_size, &align);
    if (align > 64) return "a library asks for thread-local storage of an unusual alignment";
    layout.pthread_size = *pthread_size;
    layout.tid = tid->offset;
    layout.list = list->offset;
    layout.specific = specific->offset;

    void* libc_tls = nullptr;
    dl_iterate_phdr(find_libc_tls, &libc_tls);
    void* resp = dlvsym(RTLD_DEFAULT, "__resp", priv);
    if (libc_tls == nullptr || resp == nullptr) return "libc's thread-local storage was not found";
    layout.libc_tls = static_cast<char*>(libc_tls) - static_cast<char*>(me);
    layout.resp = static_cast<char*>(resp) - static_cast<char*>(me);

    void* robust = nullptr;
    size_t robust_size = 0;
    sys::invoke(SYS_get_robust_list, 0, &robust, &robust_size);
    layout.robust = static_cast<size_t>(static_cast<char*>(robust) - static_cast<char*>(me));
    layout.cleanup = find_cleanup_field(me);
    layout.messages = find_message_buffers(me);

    // The self-test: what was found must describe the thread that runs.
    auto& head = field<TcbHead>(me, 0);
    char* first_keys = block_at(me, layout.specific) - keys_per_level * sizeof(KeyData);
    bool right = head.self == me && head.tcb == me &&
                 field<pid_t>(me, layout.tid) == sys::invoke(SYS_gettid) &&
                 field<char*>(me, layout.specific) == first_keys &&
                 layout.robust < layout.pthread_size && robust_size == sizeof(RobustHead) &&
                 layout.cleanup != 0 && sizeof(struct __res_state) <= resolver_state_size;
    if (!right) return "the C library's thread layout is not the one libgreen knows";
    layout.robust_futex_offset = field<RobustHead>(me, layout.robust).futex_offset;
    return nullptr;
}

}  // namespace

const char* thread_block_prepare() {
    if (prepared) return nullptr;
    const char* problem = look_up_all();
    prepared = problem == nullptr;
    return problem;
}

size_t thread_block_size() { return (layout.static_size + 63) & ~size_t{63}; }

void* thread_block_make(void* memory, bool fresh, pid_t tid) {
    size_t tls_size = thread_block_size() - ((layout.pthread_size + 63) & ~size_t{63});
    void* block = block_at(memory, static_cast<ptrdiff_t>(tls_size));
    char libc_tls[1024];
    // The last attempt found no memory (below): there is nothing to keep or to give back.
    if (field<TcbHead>(block, 0).dtv == nullptr) fresh = true;
    bool keep_libc = !fresh && layout.libc_tls_size <= sizeof libc_tls;
    void* messages[2] = {};
    if (!fresh) {
        if (layout.messages != 0)
            memcpy(messages, block_at(block, layout.messages), sizeof messages);
        if (keep_libc) memcpy(libc_tls, block_at(block, layout.libc_tls), layout.libc_tls_size);
        layout.deallocate_tls(block, false);
        memset(block, 0, layout.pthread_size);
    }
    if (layout.allocate_tls(block) == nullptr) return nullptr;
    if (keep_libc) memcpy(block_at(block, layout.libc_tls), libc_tls, layout.libc_tls_size);
    if (layout.messages != 0) memcpy(block_at(block, layout.messages), messages, sizeof messages);

    auto& mine = field<TcbHead>(__builtin_thread_pointer(), 0);
    auto& head = field<TcbHead>(block, 0);
    head.tcb = head.self = block;
    head.stack_guard = mine.stack_guard;
    head.pointer_guard = mine.pointer_guard;
    field<pid_t>(block, static_cast<ptrdiff_t>(layout.tid)) = tid;
    field<char*>(block, layout.specific) =
        block_at(block, layout.specific) - keys_per_level * sizeof(KeyData);

    // An empty robust list: a ring of one, with its `previous` pointer just before it.
    auto& robust = field<RobustHead>(block, layout.robust);
    robust = {&robust, layout.robust_futex_offset, nullptr};
    field<void*>(block, static_cast<ptrdiff_t>(layout.robust) - 8) = &robust;

    // libc's list of threads, from which fork(2) takes the child's one thread out: a ring of one.
    auto& list = field<ListNode>(block, static_cast<ptrdiff_t>(layout.list));
    list = {&list, &list};

    // The kernel knows one rseq area per kernel thread; a green thread has none (rseq(2)).
    constexpr uint32_t rseq_uninitialized = static_cast<uint32_t>(-1);
    if (layout.rseq != nullptr) field<uint32_t>(block, *layout.rseq + 4) = rseq_uninitialized;
    return block;
}

char* thread_block_of_helper(void* memory) {
    size_t tls_size = thread_block_size() - ((layout.pthread_size + 63) & ~size_t{63});
    char* block = block_at(memory, static_cast<ptrdiff_t>(tls_size));
    const auto& mine = field<TcbHead>(__builtin_thread_pointer(), 0);
    field<TcbHead>(block, 0) = {
        block, nullptr, block, 0, 0, 0, mine.stack_guard, mine.pointer_guard};
    return block;
}

void thread_block_end(void* block) { field<pid_t>(block, static_cast<ptrdiff_t>(layout.tid)) = -1; }

void thread_block_start(void* resolver_state) {
    void* me = __builtin_thread_pointer();
    layout.ctype_init();
    uselocale(LC_GLOBAL_LOCALE);
    field<void*>(me, layout.resp) = resolver_state;
    errno = 0;
}

void thread_block_run_destructors() {
    layout.call_tls_dtors();
    auto levels =
        &field<KeyData*>(__builtin_thread_pointer(), static_cast<ptrdiff_t>(layout.specific));
    bool again = true;
    for (int round = 0; again && round < PTHREAD_DESTRUCTOR_ITERATIONS; ++round) {
        again = false;
        for (size_t level = 0; level < keys_per_level; ++level) {
            for (size_t i = 0; levels[level] != nullptr && i < keys_per_level; ++i) {
                KeyData& value = levels[level][i];
                const Key& key = layout.keys[level * keys_per_level + i];
                void* data = value.data;
                if (data == nullptr) continue;
                value.data = nullptr;
                if (value.seq != key.seq || key.destructor == nullptr) continue;
                key.destructor(data);
                again = true;
            }
        }
    }
    for (size_t level = 1; level < keys_per_level; ++level) {
        free(levels[level]);
        levels[level] = nullptr;
    }
}

void thread_block_release_robust(void (*released)(void* mutex)) {
    void* me = __builtin_thread_pointer();
    auto& head = field<RobustHead>(me, static_cast<ptrdiff_t>(layout.robust));
    auto tid = static_cast<uint32_t>(field<pid_t>(me, static_cast<ptrdiff_t>(layout.tid)));
    constexpr uint32_t owner_died = 0x40000000, waiters = 0x80000000, tid_mask = 0x3fffffff;
    void* node = head.list;
    while (node != &head) {
        // Bit 0 of a link marks a priority-inheritance mutex.
        auto* here = reinterpret_cast<void**>(reinterpret_cast<uintptr_t>(node) & ~uintptr_t{1});
        if (here == reinterpret_cast<void**>(&head)) break;
        node = *here;
        auto* lock = reinterpret_cast<uint32_t*>(reinterpret_cast<char*>(here) + head.futex_offset);
        if ((*lock & tid_mask) == tid) {
            *lock = (*lock & waiters) | owner_died;
            released(lock);
        }
    }
    head.list = &head;
}

bool thread_block_redirect_main_exit(void (*landing)()) {
    // struct pthread points to a chain of cleanup frames, the outermost of which is a setjmp in
    // __libc_start_call_main. Its program counter (stored "mangled" with the pointer guard) is
    // replaced; its stack pointer stays, so the unwinder stops where it always would.
    void* me = __builtin_thread_pointer();
    auto* frame = field<__pthread_unwind_buf_t*>(me, static_cast<ptrdiff_t>(layout.cleanup));
    if (frame == nullptr) return false;
    while (frame->__pad[0] != nullptr) {
        frame = static_cast<__pthread_unwind_buf_t*>(frame->__pad[0]);
    }
    constexpr int saved_pc = 7, rotation = 17;
    uintptr_t guard = field<TcbHead>(me, 0).pointer_guard;
    uintptr_t pc = reinterpret_cast<uintptr_t>(landing) ^ guard;
    auto* registers = reinterpret_cast<uintptr_t*>(frame->__cancel_jmp_buf);
    registers[saved_pc] = pc << rotation | pc >> (64 - rotation);
    return true;
}

}  // namespace green
