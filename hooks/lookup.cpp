// dlsym(3): who looks a function up gets the hook, as if the name had been bound when it was
// loaded.
//
// A name looked up in the program's own order finds the hook by itself, because the library comes
// first. Not so RTLD_NEXT in a library that comes after it (memory allocators look pthread_create
// up so), or a handle of libc: these lead past it, to libc's function. The hook is given instead,
// if it is libc's function that would have been found.
//
// dlsym depends on who calls it (RTLD_NEXT, RTLD_DEFAULT): libc's own must see the caller's return
// address. So the entry asks lookup() first, and jumps on if that has nothing to say.

#include <dlfcn.h>
#include <link.h>
#include <string.h>

#include "hooks/activate.h"
#include "hooks/hook.h"

using namespace green;

#if defined(__x86_64__)

extern "C" __attribute__((visibility("hidden"))) void* green_libc_dlsym;
void* green_libc_dlsym = nullptr;

// This library's first byte (ld(1)).
extern "C" __attribute__((visibility("hidden"))) const char __ehdr_start[];

namespace {

// Its data lie behind its code.
bool is_our_own(const void* caller) { return caller >= __ehdr_start && caller < hook_rows_end; }

const HookRow* hook_named(const char* name) {
    for (const HookRow* row = hook_rows_begin; row != hook_rows_end; ++row) {
        if (row->reach != Reach::internal && strcmp(row->name, name) == 0) return row;
    }
    return nullptr;
}

link_map* object_at(const void* address) {
    Dl_info info;
    link_map* map = nullptr;
    bool found = dladdr1(address, &info, reinterpret_cast<void**>(&map), RTLD_DL_LINKMAP) != 0;
    return found ? map : nullptr;
}

bool is_libc(const link_map* map) {
    return map != nullptr && map->l_name != nullptr && strstr(map->l_name, "/libc.so.6") != nullptr;
}

void* look_in(void* handle, const char* name) {
    return reinterpret_cast<void* (*)(void*, const char*)>(green_libc_dlsym)(handle, name);
}

// Whether a search that begins behind `map` goes past this library, and comes to libc.
bool next_is_libc(const link_map* map) {
    const link_map* here = object_at(reinterpret_cast<void*>(hook_named));
    for (map = map->l_next; map != nullptr && map != here; map = map->l_next) {
        if (is_libc(map)) return true;
    }
    return false;
}

}  // namespace

// The hook that a look-up is to find; null: what libc's own dlsym finds.
extern "C" __attribute__((visibility("hidden"), used)) void* green_lookup(void* handle,
                                                                          const char* name,
                                                                          const void* caller) {
    if (green_libc_dlsym == nullptr) {
        green_libc_dlsym = dlvsym(RTLD_NEXT, "dlsym", "GLIBC_2.34");
        if (green_libc_dlsym == nullptr) {
            green_libc_dlsym = dlvsym(RTLD_NEXT, "dlsym", "GLIBC_2.2.5");
        }
    }
    if (!enabled || handle == RTLD_DEFAULT || name == nullptr) return nullptr;
    if (is_our_own(caller)) return nullptr;
    const HookRow* row = hook_named(name);
    if (row == nullptr) return nullptr;
    const link_map* from = object_at(caller);
    if (from == nullptr) return nullptr;
    bool libcs =
        handle == RTLD_NEXT ? next_is_libc(from) : is_libc(object_at(look_in(handle, name)));
    return libcs ? row->function : nullptr;
}

extern "C" void* hook_dlsym(void* handle, const char* name) __asm__("dlsym");
GREEN_ROW(dlsym, interposed)

asm(".pushsection .text\n"
    ".globl dlsym\n"
    ".type dlsym, @function\n"
    "dlsym:\n"
    "    .cfi_startproc\n"
    "    movq (%rsp), %rdx\n"
    "    pushq %rdi\n"
    "    .cfi_adjust_cfa_offset 8\n"
    "    pushq %rsi\n"
    "    .cfi_adjust_cfa_offset 8\n"
    "    subq $8, %rsp\n"
    "    .cfi_adjust_cfa_offset 8\n"
    "    call green_lookup\n"
    "    addq $8, %rsp\n"
    "    .cfi_adjust_cfa_offset -8\n"
    "    popq %rsi\n"
    "    .cfi_adjust_cfa_offset -8\n"
    "    popq %rdi\n"
    "    .cfi_adjust_cfa_offset -8\n"
    "    testq %rax, %rax\n"
    "    jne 1f\n"
    "    jmp *green_libc_dlsym(%rip)\n"
    "1:  ret\n"
    "    .cfi_endproc\n"
    "    .size dlsym, .-dlsym\n"
    ".popsection\n");

#endif
