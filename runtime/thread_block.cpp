// How a thread block is made of what glibc exports: see thread_block.h for what and why.
//
// Facts used, all of glibc 2.34 and later on x86-64:
//  - the thread control block starts with {tcb, dtv, self, multiple_threads, sysinfo, stack guard
//    at 0x28, pointer guard at 0x30}: fixed by the compiler's ABI for the stack protector;
//  - the first 32 pthread keys' values stand right before the array that
//    _thread_db_pthread_specific names, and its first element points at them;
//  - the robust list's head is what the kernel says it is (get_robust_list(2));
//  - the pointer to the innermost pthread_cleanup frame, and those to the buffers of strsignal(3)
//    and strerror(3), are found by making libc set one and looking for it;
//  - so is the word of cancellation, whose bit 0 says "disabled" and bit 1 "asynchronous";
//  - so is malloc's per-thread cache of free blocks. libc empties it when a thread ends, by a
//    function that it does not export; green threads share the one of the thread that made them,
//    which is as safe as the rest of malloc on one kernel thread. (A cache for each kept up to 230
//    KB of a thread that had ended, and the heap in pieces.)

#include "runtime/thread_block.h"

#include <dlfcn.h>
#include <link.h>
#include <linux/futex.h>
#include <locale.h>
#include <pthread.h>
#include <resolv.h>
#undef p_type  // a macro of <resolv.h> that hides a field of Elf64_Phdr
#include <stdlib.h>
#include <string.h>

#include "runtime/late_modules.h"
#include "runtime/sys.h"
#include "runtime/thread.h"

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
    size_t alignment = 64;    // of the strictest thread-local variable, and of a cache line
    size_t tid = 0, list = 0, specific = 0, robust = 0, cleanup = 0;
    size_t cancel = 0;
    size_t messages = 0;     // 0: not kept there by this version
    ptrdiff_t libc_tls = 0;  // from the FS base to libc's TLS segment
    size_t libc_tls_size = 0;
    ptrdiff_t tcache = 0;   // ... to malloc's pointer to its cache; 0: not found
    ptrdiff_t resp = 0;     // from the FS base to the thread's resolver state pointer
    ptrdiff_t look_up = 0;  // ... and to its innermost resolver context; 0: not known yet
    void (*put_look_up)(void*) = nullptr;
    long robust_futex_offset = 0;
    const ptrdiff_t* rseq = nullptr;  // absent before glibc 2.35
    Key* keys = nullptr;
    void* (*allocate_tls)(void*) = nullptr;
    void* (*init_tls)(void*, bool) = nullptr;
    void (*call_tls_dtors)() = nullptr;
    void (*ctype_init)() = nullptr;
};
Layout layout;
bool prepared = false;
constexpr size_t largest_alignment = 4096;  // that of the memory which blocks are cut from

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

// In libc's thread-local storage: the pointer to 64 counts of 16 bits and 64 list heads, of which
// the first is now the block that was just freed.
ptrdiff_t find_tcache(void* block) {
    auto allocate = reinterpret_cast<void* (*)(size_t)>(dlsym(RTLD_DEFAULT, "__libc_malloc"));
    auto release = reinterpret_cast<void (*)(void*)>(dlsym(RTLD_DEFAULT, "__libc_free"));
    if (allocate == nullptr || release == nullptr) return 0;
    constexpr size_t smallest = 24, lists = 64 * sizeof(uint16_t), size = lists + 64 * 8 + 16;
    constexpr uintptr_t near = size_t{1} << 30, page = 4096, chunk_flags = 7;
    void* kept = allocate(smallest);  // this one may have filled the list from elsewhere
    void* freed = allocate(smallest);
    release(freed);
    ptrdiff_t found = 0;
    auto end = reinterpret_cast<uintptr_t>(freed);
    for (size_t i = 0; i + sizeof(void*) <= layout.libc_tls_size; i += sizeof(void*)) {
        ptrdiff_t at = layout.libc_tls + static_cast<ptrdiff_t>(i);
        auto cache = field<uintptr_t>(block, at);
        // It lies below in the same heap; a small number may look as if it did.
        if (cache >= end || end - cache > near || cache % 16 != 0 || cache < page) continue;
        unsigned char in_memory[2];
        uintptr_t first = (cache - sizeof(void*)) & ~(page - 1);
        if (sys::invoke(SYS_mincore, first, cache + size - first, in_memory) != 0) continue;
        auto* words = reinterpret_cast<uintptr_t*>(cache);
        bool sized = (words[-1] & ~chunk_flags) == size;
        if (sized && words[lists / sizeof(void*)] == end) found = at;
    }
    release(kept);
    return found;
}

size_t find_cancel_word(void* block) {
    char before[4096];
    if (layout.pthread_size > sizeof before) return 0;
    int was = 0, unused = 0;
    pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &was);
    memcpy(before, block, layout.pthread_size);
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &unused);
    size_t found = 0;
    for (size_t at = 0; at < layout.pthread_size && found == 0; at += sizeof(int)) {
        int now = field<int>(block, static_cast<ptrdiff_t>(at)), then;
        memcpy(&then, before + at, sizeof then);
        if (now == (then | 1) && now != then) found = at;
    }
    pthread_setcancelstate(was, &unused);
    return found;
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
               look_up(layout.init_tls, "_dl_allocate_tls_init", priv) &&
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
    if (align > largest_alignment) {
        return "a library asks for thread-local storage of an unusual alignment";
    }
    if (align > layout.alignment) layout.alignment = align;
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
    layout.tcache = find_tcache(me);
    layout.cancel = find_cancel_word(me);

    // The self-test: what was found must describe the thread that runs.
    auto& head = field<TcbHead>(me, 0);
    char* first_keys = block_at(me, layout.specific) - keys_per_level * sizeof(KeyData);
    bool right = head.self == me && head.tcb == me &&
                 field<pid_t>(me, layout.tid) == sys::invoke(SYS_gettid) &&
                 field<char*>(me, layout.specific) == first_keys &&
                 layout.robust < layout.pthread_size && robust_size == sizeof(RobustHead) &&
                 layout.cleanup != 0 && layout.cancel != 0 &&
                 sizeof(struct __res_state) <= resolver_state_size;
    if (!right) return "the C library's thread layout is not the one libgreen knows";
    layout.robust_futex_offset = field<RobustHead>(me, layout.robust).futex_offset;
    // Kernel threads of libc's own may run beside ours: malloc must not leave out the lock prefix.
    head.multiple_threads = 1;
    return nullptr;
}

}  // namespace

const char* thread_block_prepare() {
    if (prepared) return nullptr;
    const char* problem = look_up_all();
    prepared = problem == nullptr;
    return problem;
}

// Empties a thread's vector of TLS blocks for its next owner: what was allocated for it lazily
// goes, the vector itself stays, which spares two thirds of what allocating a block costs.
static void* clear_dtv(void* block) {
    union Slot {
        size_t counter;  // of the slot before the first: how many there are
        struct {
            void* value;
            void* to_free;
        } pointer;
    };
    auto* slots = static_cast<Slot*>(field<TcbHead>(block, 0).dtv);
    size_t count = slots[-1].counter;
    for (size_t i = 1; i <= count; ++i) {
        if (slots[i].pointer.to_free != nullptr) free(slots[i].pointer.to_free);
    }
    memset(slots, 0, (count + 1) * sizeof *slots);
    return slots;
}

static size_t aligned(size_t size) {
    return (size + layout.alignment - 1) & ~(layout.alignment - 1);
}

// The part below the FS base.
static size_t tls_size() { return aligned(layout.static_size - layout.pthread_size); }

size_t thread_block_alignment() { return layout.alignment; }
size_t thread_block_size() { return tls_size() + aligned(layout.pthread_size); }

void* thread_block_make(void* memory, bool fresh, pid_t tid) {
    void* block = block_at(memory, static_cast<ptrdiff_t>(tls_size()));
    char libc_tls[1024];
    // The last attempt found no memory (below): there is nothing to keep or to give back.
    if (field<TcbHead>(block, 0).dtv == nullptr) fresh = true;
    bool keep_libc = !fresh && layout.libc_tls_size <= sizeof libc_tls;
    void* messages[2] = {};
    if (!fresh) {
        if (layout.messages != 0)
            memcpy(messages, block_at(block, layout.messages), sizeof messages);
        if (keep_libc) memcpy(libc_tls, block_at(block, layout.libc_tls), layout.libc_tls_size);
        void* dtv = clear_dtv(block);
        memset(block, 0, layout.pthread_size);
        field<TcbHead>(block, 0).dtv = dtv;
    }
    late_modules_block_maker = self;
    void* made = fresh ? layout.allocate_tls(block) : layout.init_tls(block, true);
    late_modules_block_maker = nullptr;
    if (made == nullptr) return nullptr;
    if (keep_libc) memcpy(block_at(block, layout.libc_tls), libc_tls, layout.libc_tls_size);
    if (layout.messages != 0) memcpy(block_at(block, layout.messages), messages, sizeof messages);

    void* me = __builtin_thread_pointer();
    if (layout.tcache != 0) field<void*>(block, layout.tcache) = field<void*>(me, layout.tcache);
    auto& mine = field<TcbHead>(me, 0);
    auto& head = field<TcbHead>(block, 0);
    head.tcb = head.self = block;
    head.multiple_threads = 1;
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
    char* block = block_at(memory, static_cast<ptrdiff_t>(tls_size()));
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

void thread_block_note_look_up(void* context) {
    if (__builtin_expect(layout.look_up != 0, 1)) return;
    void* me = __builtin_thread_pointer();
    constexpr auto step = static_cast<ptrdiff_t>(sizeof(void*));
    ptrdiff_t end = layout.libc_tls + static_cast<ptrdiff_t>(layout.libc_tls_size);
    if (!look_up(layout.put_look_up, "__resolv_context_put", "GLIBC_PRIVATE")) return;
    for (ptrdiff_t at = layout.libc_tls; at + step <= end; at += step) {
        if (field<void*>(me, at) == context) layout.look_up = at;
    }
}

// As libc does it at the end of its own threads.
static void end_look_ups() {
    void* me = __builtin_thread_pointer();
    constexpr int deepest = 16;
    for (int i = 0; layout.look_up != 0 && i < deepest; ++i) {
        void* context = field<void*>(me, layout.look_up);
        if (context == nullptr) break;
        layout.put_look_up(context);
    }
    auto* state = field<res_state>(me, layout.resp);
    if ((state->options & RES_INIT) == 0) return;
    res_nclose(state);
    state->options = 0;
}

int* thread_block_cancel_word(void* block) {
    return &field<int>(block, static_cast<ptrdiff_t>(layout.cancel));
}
bool thread_block_cancel_disabled(void* block) {
    return (*thread_block_cancel_word(block) & 1) != 0;
}
bool thread_block_cancel_asynchronous(void* block) {
    return (*thread_block_cancel_word(block) & 2) != 0;
}

void thread_block_run_destructors() {
    layout.call_tls_dtors();
    auto levels =
        &field<KeyData*>(__builtin_thread_pointer(), static_cast<ptrdiff_t>(layout.specific));
    bool again = true;
    for (int round = 0; again && round < PTHREAD_DESTRUCTOR_ITERATIONS; ++round) {
        again = false;
        for (size_t level = 0; level < keys_per_level; ++level) {
            KeyData* values = levels[level];
            if (values == nullptr) continue;
            for (KeyData* value = values; value != values + keys_per_level; ++value) {
                void* data = value->data;
                if (data == nullptr) continue;
                const Key& key = layout.keys[level * keys_per_level + size_t(value - values)];
                value->data = nullptr;
                if (value->seq != key.seq || key.destructor == nullptr) continue;
                key.destructor(data);
                again = true;
            }
        }
    }
    for (size_t level = 1; level < keys_per_level; ++level) {
        if (levels[level] != nullptr) free(levels[level]);
        levels[level] = nullptr;
    }
    end_look_ups();
}

namespace {

// A link of a robust list: the address of the next one, before it that of the previous one. Bit 0
// marks a priority-inheritance mutex.
void** link_at(void* link) {
    return reinterpret_cast<void**>(reinterpret_cast<uintptr_t>(link) & ~uintptr_t{1});
}

void unlink_robust(void** node) {
    auto** before = static_cast<void**>(node[-1]);
    *before = *node;
    link_at(*node)[-1] = before;
}

}  // namespace

void thread_block_release_robust(void (*released)(void* mutex)) {
    void* me = __builtin_thread_pointer();
    void* const blocks[] = {me, thread_of_process()->block};
    auto tid = static_cast<uint32_t>(field<pid_t>(me, static_cast<ptrdiff_t>(layout.tid)));
    constexpr uint32_t owner_died = 0x40000000, waiters = 0x80000000, tid_mask = 0x3fffffff;
    constexpr int owner_at = 2;  // pthread_mutex_t: the lock, a count, the owner
    for (void* block : blocks) {
        auto& head = field<RobustHead>(block, static_cast<ptrdiff_t>(layout.robust));
        for (void** node = link_at(head.list); node != reinterpret_cast<void**>(&head);) {
            void** here = node;
            node = link_at(*here);
            auto* lock =
                reinterpret_cast<uint32_t*>(reinterpret_cast<char*>(here) + head.futex_offset);
            bool mine = block == me ? (*lock & tid_mask) == tid : lock[owner_at] == tid;
            if (!mine) continue;
            if (block != me) unlink_robust(here);
            bool awaited = (*lock & waiters) != 0;
            *lock = (*lock & waiters) | owner_died;
            released(lock);
            if (awaited) sys::invoke(SYS_futex, lock, FUTEX_WAKE, 1);
        }
        if (block == me) head.list = &head;
    }
}

void thread_block_robust_to_first(void* link) {
    auto** node = static_cast<void**>(link);
    auto& head =
        field<RobustHead>(thread_of_process()->block, static_cast<ptrdiff_t>(layout.robust));
    unlink_robust(node);
    node[0] = head.list;
    node[-1] = &head;
    link_at(head.list)[-1] = node;
    head.list = node;
}

pid_t* thread_block_tid(void* block) {
    return &field<pid_t>(block, static_cast<ptrdiff_t>(layout.tid));
}

// Frames of C functions hang on the pointer before the one that was found.
void* thread_block_cleanup(void* block) {
    return block_at(block, static_cast<ptrdiff_t>(layout.cleanup - sizeof(void*)));
}

void thread_block_after_fork() {
    auto* head = block_at(__builtin_thread_pointer(), static_cast<ptrdiff_t>(layout.robust));
    sys::invoke(SYS_set_robust_list, head, sizeof(RobustHead));
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
