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
// copies only.

#include "shim/redirect.h"

#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <signal.h>
#include <sys/mman.h>

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
    const void* hook;
};

struct Range {
    uintptr_t first = UINTPTR_MAX, end = 0;
    void include(uintptr_t from, uintptr_t size) {
        if (from < first) first = from;
        if (from + size > end) end = from + size;
    }
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

size_t room_at(void* at) {
    Dl_info info;
    ElfW(Sym)* symbol = nullptr;
    if (dladdr1(at, &info, reinterpret_cast<void**>(&symbol), RTLD_DL_SYMENT) == 0) return 0;
    if (symbol == nullptr || info.dli_saddr != at) return 0;
    constexpr size_t alignment = 16;
    return (symbol->st_size + alignment - 1) / alignment * alignment;
}

size_t collect(void* libc, Entry* entries, Range* range) {
    size_t count = 0;
    for (HookRow* row = hook_rows_begin; row != hook_rows_end; ++row) {
        if (row->reach == Reach::interposed || count == most_entries) continue;
        auto* at = static_cast<unsigned char*>(libc_symbol(libc, *row));
        if (at == nullptr) continue;
        bool known = false;  // another name of the same function
        for (size_t i = 0; i < count; ++i) known = known || entries[i].at == at;
        if (known) continue;
        if (room_at(at) < jump_size) {
            ++unredirected_entries;
            continue;
        }
        entries[count++] = {at, row->function};
        range->include(reinterpret_cast<uintptr_t>(at), jump_size);
    }
    return count;
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

}  // namespace

const char* redirect_libc() {
#if !defined(__x86_64__)
    return "this CPU is not supported";
#endif
    void* libc = libc_handle();
    if (libc == nullptr) return "the C library is not libc.so.6";
    static Entry entries[most_entries];
    Range range;
    size_t count = collect(libc, entries, &range);
    if (count == 0) return "libc's functions were not found";

    uintptr_t first = range.first & ~(page - 1);
    uintptr_t size = ((range.end + page - 1) & ~(page - 1)) - first;
    sigset_t all, before;
    sigfillset(&all);
    constexpr size_t kernel_sigset_size = 8;
    sys::invoke(SYS_rt_sigprocmask, SIG_SETMASK, &all, &before, kernel_sigset_size);
    long denied = sys::invoke(SYS_mprotect, first, size, PROT_READ | PROT_WRITE);
    if (denied == 0) {
        for (size_t i = 0; i < count; ++i) write_jump(entries[i].at, entries[i].hook);
        if (sys::invoke(SYS_mprotect, first, size, PROT_READ | PROT_EXEC) != 0) {
            sys::die("libc's text could not be made executable again");
        }
    }
    sys::invoke(SYS_rt_sigprocmask, SIG_SETMASK, &before, nullptr, kernel_sigset_size);
    if (denied != 0) return "the system does not allow libc's entries to be redirected (mprotect)";
    redirected_entries = static_cast<int>(count);
    entries_redirected = true;
    return nullptr;
}

}  // namespace green
