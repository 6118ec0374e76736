// dlsym(3), dlvsym(3): who looks a function up gets the hook, as if the name had been bound when it
// was loaded.
//
// A name looked up in the program's own order finds the hook by itself, because the library comes
// first. Not so RTLD_NEXT in a library that comes after it (memory allocators look pthread_create
// up so), or a handle of libc: these lead past it, to libc's function. The hook is given instead,
// if it is libc's function that would have been found.
//
// A name that is looked up with a version (libfaketime's RTLD_NEXT) finds no hook at all, since the
// hooks have none. The hook is given where that version is the one that the plain name stands for.
//
// Both depend on who calls them (RTLD_NEXT, RTLD_DEFAULT): libc's own must see the caller's return
// address. So the entries ask first, and jump on if there is nothing to say. libc's own are found
// in its table of symbols, because no name leads past these entries.

#include <dlfcn.h>
#include <link.h>
#include <string.h>

#include "hooks/activate.h"
#include "hooks/hook.h"

using namespace green;

#if defined(__x86_64__)

extern "C" __attribute__((visibility("hidden"))) void* green_libc_dlsym;
extern "C" __attribute__((visibility("hidden"))) void* green_libc_dlvsym;
void* green_libc_dlsym = nullptr;
void* green_libc_dlvsym = nullptr;

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

void* look_in(void* handle, const char* name, const char* version) {
    return reinterpret_cast<void* (*)(void*, const char*, const char*)>(green_libc_dlvsym)(
        handle, name, version);
}

// A search that begins behind `map`: whether it comes to this library, and whether to libc before
// that.
struct Search {
    explicit Search(const link_map* map) {
        const link_map* here = object_at(reinterpret_cast<void*>(hook_named));
        for (map = map->l_next; map != nullptr && !comes_here && !comes_to_libc;
             map = map->l_next) {
            comes_here = map == here;
            comes_to_libc = is_libc(map);
        }
    }
    bool comes_here = false, comes_to_libc = false;
};

// A function of libc's of which all versions are one, by the object's own hash table (elf(5)).
void* in_table(const link_map* map, const char* name) {
    const ElfW(Sym)* symbols = nullptr;
    const char* names = nullptr;
    const uint32_t* table = nullptr;
    for (const ElfW(Dyn)* d = map->l_ld; d->d_tag != DT_NULL; ++d) {
        if (d->d_tag == DT_SYMTAB) symbols = reinterpret_cast<const ElfW(Sym)*>(d->d_un.d_ptr);
        if (d->d_tag == DT_STRTAB) names = reinterpret_cast<const char*>(d->d_un.d_ptr);
        if (d->d_tag == DT_GNU_HASH) table = reinterpret_cast<const uint32_t*>(d->d_un.d_ptr);
    }
    if (symbols == nullptr || names == nullptr || table == nullptr) return nullptr;
    uint32_t hash = 5381;
    for (const char* c = name; *c != '\0'; ++c) hash = hash * 33 + static_cast<unsigned char>(*c);
    uint32_t buckets = table[0], first = table[1];
    const uint32_t* bucket = table + 4 + table[2] * (sizeof(ElfW(Addr)) / sizeof(uint32_t));
    const uint32_t* chain = bucket + buckets;
    for (uint32_t i = bucket[hash % buckets]; i >= first; ++i) {
        bool same = ((chain[i - first] ^ hash) >> 1) == 0;
        if (same && strcmp(names + symbols[i].st_name, name) == 0) {
            return reinterpret_cast<void*>(map->l_addr + symbols[i].st_value);
        }
        if ((chain[i - first] & 1) != 0) break;
    }
    return nullptr;
}

// A library behind this one that has such a function itself, around libc's: its is what the hook
// calls (ORIGINAL), and to look up the hook would lead it back to itself. Not so pthread_create,
// where the hook calls no other.
bool is_between(const link_map* from, const char* name) {
    const OriginalRow* row = original_rows_begin;
    while (row != original_rows_end && strcmp(row->name, name) != 0) ++row;
    return row != original_rows_end && strcmp(name, "pthread_create") != 0 &&
           object_at(row->function) == from;
}

void find_libcs() {
    if (green_libc_dlsym != nullptr) return;
    const link_map* libc = object_at(reinterpret_cast<void*>(dladdr1));
    if (libc != nullptr) {
        green_libc_dlvsym = in_table(libc, "dlvsym");
        green_libc_dlsym = in_table(libc, "dlsym");
    }
    if (green_libc_dlsym == nullptr || green_libc_dlvsym == nullptr) {
        sys::die("libc's dlsym was not found");
    }
}

// The hook of that name, where such a caller may be given it, and the caller's object.
const HookRow* hook_for(const char* name, const void* caller, const link_map** from) {
    if (!enabled || name == nullptr || is_our_own(caller)) return nullptr;
    const HookRow* row = hook_named(name);
    if (row == nullptr) return nullptr;
    *from = object_at(caller);
    return *from == nullptr || is_between(*from, name) ? nullptr : row;
}

}  // namespace

// The hook that a look-up is to find; null: what libc's own dlsym finds.
extern "C" __attribute__((visibility("hidden"), used)) void* green_lookup(void* handle,
                                                                          const char* name,
                                                                          const char* /*version*/,
                                                                          const void* caller) {
    find_libcs();
    if (handle == RTLD_DEFAULT) return nullptr;
    const link_map* from = nullptr;
    const HookRow* row = hook_for(name, caller, &from);
    if (row == nullptr) return nullptr;
    bool libcs = handle == RTLD_NEXT ? Search(from).comes_to_libc
                                     : is_libc(object_at(look_in(handle, name)));
    return libcs ? row->function : nullptr;
}

// The same with a version. What libc's dlsym calls the default one is that of the hook.
extern "C" __attribute__((visibility("hidden"), used)) void* green_lookup_version(
    void* handle, const char* name, const char* version, const void* caller) {
    find_libcs();
    if (version == nullptr) return nullptr;
    const link_map* from = nullptr;
    const HookRow* row = hook_for(name, caller, &from);
    if (row == nullptr) return nullptr;
    static void* libc = dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD);
    if (libc == nullptr) return nullptr;
    if (handle == RTLD_NEXT) {
        Search search(from);
        if (!search.comes_here && !search.comes_to_libc) return nullptr;
        if (search.comes_to_libc) handle = libc;
    }
    void* found = look_in(handle, name, version);
    return found != nullptr && found == look_in(libc, name) ? row->function : nullptr;
}

extern "C" void* hook_dlsym(void* handle, const char* name) __asm__("dlsym");
extern "C" void* hook_dlvsym(void* handle, const char* name, const char* version) __asm__("dlvsym");
GREEN_ROW(dlsym, interposed)
GREEN_ROW(dlvsym, interposed)

// Asks `lookup` with the arguments and the return address, and has libc's own go on with them if it
// has nothing to say. The third argument is dlvsym's; to dlsym it is some register's value.
#    define GREEN_LOOK_UP_ENTRY(entry, lookup, libcs) \
        asm(".pushsection .text\n"                    \
            ".globl " #entry                          \
            "\n"                                      \
            ".type " #entry ", @function\n" #entry    \
            ":\n"                                     \
            "    .cfi_startproc\n"                    \
            "    movq (%rsp), %rcx\n"                 \
            "    pushq %rdi\n"                        \
            "    .cfi_adjust_cfa_offset 8\n"          \
            "    pushq %rsi\n"                        \
            "    .cfi_adjust_cfa_offset 8\n"          \
            "    pushq %rdx\n"                        \
            "    .cfi_adjust_cfa_offset 8\n"          \
            "    call " #lookup                       \
            "\n"                                      \
            "    popq %rdx\n"                         \
            "    .cfi_adjust_cfa_offset -8\n"         \
            "    popq %rsi\n"                         \
            "    .cfi_adjust_cfa_offset -8\n"         \
            "    popq %rdi\n"                         \
            "    .cfi_adjust_cfa_offset -8\n"         \
            "    testq %rax, %rax\n"                  \
            "    jne 1f\n"                            \
            "    jmp *" #libcs                        \
            "(%rip)\n"                                \
            "1:  ret\n"                               \
            "    .cfi_endproc\n"                      \
            "    .size " #entry ", .-" #entry         \
            "\n"                                      \
            ".popsection\n");
GREEN_LOOK_UP_ENTRY(dlsym, green_lookup, green_libc_dlsym)
GREEN_LOOK_UP_ENTRY(dlvsym, green_lookup_version, green_libc_dlvsym)
#    undef GREEN_LOOK_UP_ENTRY

#endif
