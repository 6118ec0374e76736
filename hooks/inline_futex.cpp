// Looking for `mov $SYS_futex, register` with a `syscall` instruction soon after it, in the code of
// the object that makes threads. A chance find costs a program its green threads, so both must be
// there; objects of many megabytes (virtual machines, whose waits go through libc) are not
// searched, since that would take as long as it takes them to start.

#include "hooks/inline_futex.h"

#include <link.h>
#include <string.h>

#include "hooks/program_code.h"
#include "runtime/sys.h"

namespace green {

namespace {

constexpr size_t largest_searched = size_t{8} << 20;
constexpr size_t reach = 256;  // bytes from the number to the instruction

struct Seen {
    uintptr_t first, end;
    const char* name;  // null: it waits through libc
};
constexpr int most_seen = 32;
Seen seen[most_seen];  // the last ones
int seen_count = 0;

bool has_inline_futex(const unsigned char* code, size_t size) {
    constexpr unsigned char number[] = {SYS_futex, 0, 0, 0};
    constexpr unsigned char instruction[] = {0x0f, 0x05};
    const unsigned char* end = code + size;
    for (const unsigned char* at = code + 1; at < end; ++at) {
        at = static_cast<const unsigned char*>(
            memmem(at, static_cast<size_t>(end - at), number, sizeof number));
        if (at == nullptr) return false;
        bool is_mov = (at[-1] & 0xf8) == 0xb8;  // mov $imm32, %r32
        auto rest = static_cast<size_t>(end - at);
        size_t window = rest < reach ? rest : reach;
        if (is_mov && memmem(at, window, instruction, sizeof instruction) != nullptr) return true;
    }
    return false;
}

// Functions that make any system call, one for each number of arguments, each with `syscall` and
// `cmp $-4095, %rax`: a runtime that does without libc's functions (Free Pascal's) but for threads.
// It reads, accepts and sleeps that way. One alone may be for a call that does not wait.
bool has_own_system_calls(const unsigned char* code, size_t size) {
    constexpr unsigned char call[] = {0x0f, 0x05, 0x48, 0x3d, 0x01, 0xf0, 0xff, 0xff};
    constexpr int fewest = 6;
    const unsigned char *at = code, *end = code + size;
    for (int found = 0; found < fewest; ++found) {
        at = static_cast<const unsigned char*>(
            memmem(at, static_cast<size_t>(end - at), call, sizeof call));
        if (at == nullptr) return false;
        at += sizeof call;
    }
    return true;
}

int search_object(dl_phdr_info* info, size_t, void* data) {
    auto caller = *static_cast<uintptr_t*>(data);
    for (int i = 0; i < info->dlpi_phnum; ++i) {
        const auto& p = info->dlpi_phdr[i];
        uintptr_t from = info->dlpi_addr + p.p_vaddr;
        if (p.p_type != PT_LOAD || (p.p_flags & PF_X) == 0) continue;
        if (caller < from || caller >= from + p.p_memsz) continue;
        auto* code = reinterpret_cast<const unsigned char*>(from);
        bool found = p.p_memsz <= largest_searched &&
                     (has_inline_futex(code, p.p_memsz) || has_own_system_calls(code, p.p_memsz));
        const char* name = info->dlpi_name[0] != '\0' ? info->dlpi_name : "the program";
        seen[seen_count++ % most_seen] = {from, from + p.p_memsz, found ? name : nullptr};
        return 1;
    }
    return 0;
}

}  // namespace

const char* inline_futex_in(const void* caller) {
    auto pc = reinterpret_cast<uintptr_t>(caller);
    for (int i = 0; i < seen_count && i < most_seen; ++i) {
        if (pc >= seen[i].first && pc < seen[i].end) return seen[i].name;
    }
    static bool prepared = false;
    if (!prepared) program_code_prepare();
    prepared = true;
    if (!in_program_code(pc)) return nullptr;  // libc's own threads, and ours
    int before = seen_count;
    dl_iterate_phdr(search_object, &pc);
    return seen_count > before ? seen[before % most_seen].name : nullptr;
}

}  // namespace green
