// The address ranges of the libraries that must not be interrupted: see program_code.h. The vDSO is
// among them because we read clocks there in the middle of things.

#include "hooks/program_code.h"

#include <link.h>
#include <string.h>
#include <ucontext.h>

namespace green {

namespace {

const char* const library_names[] = {"libc.so.6",    "ld-linux",    "libev.so",  "libcares.so",
                                     "libstdc++.so", "libgcc_s.so", "linux-vdso"};
constexpr int most_libraries = 16;

struct Range {
    uintptr_t first, end;
};
Range ranges[most_libraries];
int range_count = 0;

int add_library(dl_phdr_info* info, size_t, void*) {
    bool listed = false;
    for (const char* name : library_names) {
        listed = listed || strstr(info->dlpi_name, name) != nullptr;
    }
    Range r = {UINTPTR_MAX, 0};
    for (int i = 0; i < info->dlpi_phnum; ++i) {
        const auto& p = info->dlpi_phdr[i];
        if (p.p_type != PT_LOAD) continue;
        uintptr_t from = info->dlpi_addr + p.p_vaddr;
        if (from < r.first) r.first = from;
        if (from + p.p_memsz > r.end) r.end = from + p.p_memsz;
    }
    // This library is known by where it is: it may have been given another name.
    auto here = reinterpret_cast<uintptr_t>(&add_library);
    listed = listed || (here >= r.first && here < r.end);
    if (listed && range_count < most_libraries) ranges[range_count++] = r;
    return 0;
}

}  // namespace

void program_code_prepare() {
    range_count = 0;
    dl_iterate_phdr(add_library, nullptr);
}

bool in_program_code(uintptr_t pc) {
    for (int i = 0; i < range_count; ++i) {
        if (pc >= ranges[i].first && pc < ranges[i].end) return false;
    }
    return true;
}

uintptr_t interrupted_pc(const void* ucontext) {
#if defined(__x86_64__)
    auto* context = static_cast<const ucontext_t*>(ucontext);
    return static_cast<uintptr_t>(context->uc_mcontext.gregs[REG_RIP]);
#else
    (void)ucontext;
    return 0;
#endif
}

}  // namespace green
