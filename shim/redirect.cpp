// Overwriting libc's entries.
//
// What libc calls inside itself (fgets its read, getaddrinfo its poll, popen its pipe) never goes
// through a symbol, so interposition cannot see it. But a hook never needs the original: its body
// is a raw system call. So the first bytes of libc's function can simply become a jump to the hook:
//
//      read:   ff 25 00 00 00 00     jmp  *0(%rip)
//              <8 bytes: the hook>
//
// 14 bytes; a function's room is its symbol's size, up to the next 16-byte boundary. The text pages
// are made writable, written, and made executable again, never both at once, with all signals
// blocked: while it lasts no libc function can run, so this file uses raw system calls and inline
// copies only. Where another kernel thread may be running in libc (one of libc's own, such as
// mq_notify(3) makes), the bytes go through /proc/self/mem instead, which leaves the pages
// executable.
//
// A few hooks leave some calls to libc's own function after all. The instructions that the jump
// overwrites are copied, with a jump to those behind them: only such as mean the same anywhere
// (pushes, moves between registers), which is what functions begin with; else the entry is left.

#include "shim/redirect.h"

#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/single_threaded.h>

#include <algorithm>

#include "hooks/activate.h"
#include "hooks/hook.h"

namespace green {

int redirected_entries = 0, unredirected_entries = 0;

namespace {

constexpr size_t jump_size = 14;
constexpr size_t most_entries = 256;
constexpr uintptr_t page = 4096;

struct Entry {
    unsigned char* at;
    const HookRow* row;
    size_t room;  // bytes that may be overwritten
};

void* libc_handle() {
    void* handle = dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD);
    if (handle != nullptr) dlclose(handle);  // it is never unloaded
    return handle;
}

void* libc_symbol(void* libc, const HookRow& row) {
    void* at = dlvsym(libc, row.name, "GLIBC_2.2.5");
    if (at == nullptr) at = dlsym(libc, row.name);
    return at != nullptr ? at : dlvsym(libc, row.name, "GLIBC_PRIVATE");
}

// How many symbols a module has: the hash table's chains end with the last one. 0: it has no such
// table.
size_t symbol_count(const uint32_t* hash) {
    if (hash == nullptr) return 0;
    uint32_t buckets = hash[0], first = hash[1], filter_words = hash[2];
    const uint32_t* bucket = hash + 4 + filter_words * (sizeof(ElfW(Addr)) / sizeof(uint32_t));
    const uint32_t* chain = bucket + buckets;
    uint32_t last = *std::max_element(bucket, bucket + buckets);
    if (last < first) return 0;
    while ((chain[last - first] & 1) == 0) ++last;
    return last + 1;
}

// Fills in the room of each entry, in one pass over libc's symbols: dladdr(3) would make one for
// each, which took 4 ms for all.
void find_rooms(void* libc, Entry* entries, size_t count) {
    link_map* map = nullptr;
    if (dlinfo(libc, RTLD_DI_LINKMAP, &map) != 0) return;
    const ElfW(Sym)* symbols = nullptr;
    const uint32_t* hash = nullptr;
    for (const ElfW(Dyn)* d = map->l_ld; d->d_tag != DT_NULL; ++d) {
        if (d->d_tag == DT_SYMTAB) symbols = reinterpret_cast<const ElfW(Sym)*>(d->d_un.d_ptr);
        if (d->d_tag == DT_GNU_HASH) hash = reinterpret_cast<const uint32_t*>(d->d_un.d_ptr);
    }
    auto before = [](const Entry& a, const Entry& b) { return a.at < b.at; };
    std::sort(entries, entries + count, before);
    size_t symbol_end = symbols == nullptr ? 0 : symbol_count(hash);
    for (size_t i = 0; i < symbol_end; ++i) {
        Entry wanted = {reinterpret_cast<unsigned char*>(map->l_addr + symbols[i].st_value),
                        nullptr, 0};
        Entry* e = std::lower_bound(entries, entries + count, wanted, before);
        constexpr size_t alignment = 16;
        size_t room = (symbols[i].st_size + alignment - 1) / alignment * alignment;
        if (e != entries + count && e->at == wanted.at && room > e->room) e->room = room;
    }
}

void write_jump(unsigned char* at, const void* target) {
    constexpr unsigned char jump[] = {0xff, 0x25, 0, 0, 0, 0};
    auto address = reinterpret_cast<uintptr_t>(target);
    volatile unsigned char* to = at;  // volatile: no call of memcpy, which may lie on these pages
    for (size_t i = 0; i < sizeof jump; ++i) to[i] = jump[i];
    for (size_t i = 0; i < sizeof address; ++i) {
        to[sizeof jump + i] = static_cast<unsigned char>(address >> (8 * i));
    }
}

// ---- ways back ----------------------------------------------------------------------------------

// The length of an instruction that means the same anywhere; 0: not one that functions begin with.
size_t movable_instruction(const unsigned char* at) {
    constexpr unsigned char endbr64[] = {0xf3, 0x0f, 0x1e, 0xfa};
    if (memcmp(at, endbr64, sizeof endbr64) == 0) return sizeof endbr64;
    bool rex = (at[0] & 0xf0) == 0x40;
    const unsigned char* op = rex ? at + 1 : at;
    size_t length = rex ? 1 : 0;
    bool between_registers = (op[1] & 0xc0) == 0xc0;
    bool about_rsp = op[1] == 0xec;                                                // sub $n, %rsp
    if ((op[0] & 0xf8) == 0x50) return length + 1;                                 // push
    if ((op[0] == 0x89 || op[0] == 0x31) && between_registers) return length + 2;  // mov, xor
    if (op[0] == 0x83 && about_rsp) return length + 3;
    if (op[0] == 0x81 && about_rsp) return length + 6;
    bool far_from_register = (op[1] & 0xc0) == 0x80 && (op[1] & 7) != 4;
    if (op[0] == 0x8d && far_from_register) return length + 6;  // lea n(register)
    if ((op[0] & 0xf8) == 0xb8 && !rex) return 5;               // mov $n
    return 0;
}

// Functions that are to be reachable behind their entries: their first whole instructions go to a
// page of ours, which is made executable with the rest.
constexpr size_t way_back_size = 64;
unsigned char* ways_back = nullptr;
size_t ways_back_used = 0;

bool copy_beginning(unsigned char* at, unsigned char* to) {
    size_t moved = 0;
    while (moved < jump_size) {
        size_t length = movable_instruction(at + moved);
        if (length == 0) return false;
        moved += length;
    }
    memcpy(to, at, moved);
    write_jump(to + moved, at + moved);
    return true;
}

// Whether the hook of this row can do without libc's function, or has a way back to it by now.
bool keep_way_back(const HookRow& row, unsigned char* at) {
    WayBackRow* wanted = way_back_rows_begin;
    while (wanted != way_back_rows_end && strcmp(wanted->name, row.name) != 0) ++wanted;
    if (wanted == way_back_rows_end) return true;
    wanted->function = at;
    if (ways_back == nullptr) {
        long memory = sys::invoke(SYS_mmap, nullptr, page, PROT_READ | PROT_WRITE,
                                  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (sys::failed(memory)) return false;
        ways_back = reinterpret_cast<unsigned char*>(memory);
    }
    unsigned char* to = ways_back + ways_back_used;
    if (ways_back_used + way_back_size > page || !copy_beginning(at, to)) return false;
    ways_back_used += way_back_size;
    wanted->function = to;
    return true;
}

size_t collect(void* libc, Entry* entries) {
    size_t count = 0;
    for (HookRow* row = hook_rows_begin; row != hook_rows_end; ++row) {
        if (row->reach == Reach::interposed || count == most_entries) continue;
        auto* at = static_cast<unsigned char*>(libc_symbol(libc, *row));
        if (at == nullptr) continue;
        bool known = false;  // another name of the same function
        for (size_t i = 0; i < count; ++i) known = known || entries[i].at == at;
        if (!known) entries[count++] = {at, row, 0};
    }
    find_rooms(libc, entries, count);
    Entry* end = std::remove_if(entries, entries + count, [](const Entry& e) {
        return e.room < jump_size || !keep_way_back(*e.row, e.at);
    });
    auto kept = static_cast<size_t>(end - entries);
    unredirected_entries = static_cast<int>(count - kept);
    return kept;
}

long make_writable_and_write(const Entry* entries, size_t count) {
    uintptr_t first = reinterpret_cast<uintptr_t>(entries[0].at) & ~(page - 1);
    uintptr_t end = reinterpret_cast<uintptr_t>(entries[count - 1].at) + jump_size;
    uintptr_t size = ((end + page - 1) & ~(page - 1)) - first;
    long denied = sys::invoke(SYS_mprotect, first, size, PROT_READ | PROT_WRITE);
    if (denied != 0) return denied;
    for (size_t i = 0; i < count; ++i) write_jump(entries[i].at, entries[i].row->function);
    if (sys::invoke(SYS_mprotect, first, size, PROT_READ | PROT_EXEC) != 0) {
        sys::die("libc's text could not be made executable again");
    }
    return 0;
}

long write_beside_other_threads(const Entry* entries, size_t count) {
    long memory = sys::invoke(SYS_openat, AT_FDCWD, "/proc/self/mem", O_RDWR | O_CLOEXEC);
    if (memory < 0) return memory;
    for (size_t i = 0; i < count; ++i) {
        unsigned char jump[jump_size];
        write_jump(jump, entries[i].row->function);
        long r = sys::invoke(SYS_pwrite64, memory, jump, sizeof jump, entries[i].at);
        if (r == static_cast<long>(sizeof jump)) continue;
        if (i > 0) sys::die("libc's text could not be written to the end");
        sys::invoke(SYS_close, memory);
        return -EACCES;
    }
    sys::invoke(SYS_close, memory);
    return 0;
}

}  // namespace

const char* redirect_libc() {
#if !defined(__x86_64__)
    return "this CPU is not supported";
#endif
    void* libc = libc_handle();
    if (libc == nullptr) return "the C library is not libc.so.6";
    static Entry entries[most_entries];
    size_t count = collect(libc, entries);
    if (count == 0) return "libc's functions were not found";
    if (ways_back != nullptr &&
        sys::invoke(SYS_mprotect, ways_back, page, PROT_READ | PROT_EXEC) != 0)
        return "the system does not allow code to be made (mprotect)";

    sigset_t all, before;
    sigfillset(&all);
    constexpr size_t kernel_sigset_size = 8;
    sys::invoke(SYS_rt_sigprocmask, SIG_SETMASK, &all, &before, kernel_sigset_size);
    long denied = __libc_single_threaded != 0 ? make_writable_and_write(entries, count)
                                              : write_beside_other_threads(entries, count);
    sys::invoke(SYS_rt_sigprocmask, SIG_SETMASK, &before, nullptr, kernel_sigset_size);
    if (denied != 0) return "the system does not allow libc's entries to be redirected";
    redirected_entries = static_cast<int>(count);
    entries_redirected = true;
    return nullptr;
}

}  // namespace green
