// What libc knows of each module is found as a debugger finds it, by the descriptors of <nptl_db>;
// the fields for the initial values stand right before one that has a descriptor. Nothing is
// written by them unless, before the second thread, they say of every module that is there what
// dl_iterate_phdr(3) says of it, and where its variables lie.

#include "runtime/late_modules.h"

#include <dlfcn.h>
#include <link.h>
#include <stdint.h>
#include <string.h>

#include "runtime/scheduler.h"

namespace green {

bool late_modules_possible = false;
const Thread* late_modules_block_maker = nullptr;

namespace {

struct DbField {
    uint32_t bits, count, offset;
};

// The end of these fields of struct link_map, up to the one that has a descriptor.
struct TlsFields {
    const void* image;
    size_t image_size, size, alignment, first_byte;
    ptrdiff_t offset;  // from its place up to the FS base; 0, -1: not in the static area
};

struct Tables {
    char* linker = nullptr;  // _rtld_global
    size_t linker_size = 0;
    uint32_t list = 0, list_length = 0, list_next = 0, list_first = 0;
    uint32_t slot_size = 0, slot_generation = 0, slot_module = 0, module_offset = 0;
};
Tables tables;
enum class Known { not_yet, no, yes } known = Known::not_yet;
size_t generation = 0;  // of the newest module that all threads have
Thread* loader = nullptr;

bool find(const char* name, uint32_t* offset) {
    auto* field = static_cast<const DbField*>(dlvsym(RTLD_DEFAULT, name, "GLIBC_PRIVATE"));
    if (field != nullptr) *offset = field->offset;
    return field != nullptr;
}

template <class T>
T& at(void* base, size_t offset) {
    return *reinterpret_cast<T*>(static_cast<char*>(base) + offset);
}

// `act(generation, fields)` for every module with thread-local variables.
template <class Act>
void for_each_module(Act act) {
    void* list = at<void*>(tables.linker, tables.list);
    for (; list != nullptr; list = at<void*>(list, tables.list_next)) {
        size_t length = at<size_t>(list, tables.list_length);
        for (size_t i = 0; i < length; ++i) {
            char* slot = static_cast<char*>(list) + tables.list_first + i * tables.slot_size;
            auto* module = at<char*>(slot, tables.slot_module);
            if (module == nullptr) continue;
            act(at<size_t>(slot, tables.slot_generation),
                *reinterpret_cast<TlsFields*>(module + tables.module_offset + sizeof(ptrdiff_t) -
                                              sizeof(TlsFields)));
        }
    }
}

size_t newest() {
    size_t most = 0;
    for_each_module([&](size_t g, const TlsFields&) { most = g > most ? g : most; });
    return most;
}

bool is_static(const TlsFields& m) { return m.offset != 0 && m.offset != -1; }

char* variables_in(void* block, const TlsFields& m) { return static_cast<char*>(block) - m.offset; }

int says_the_same(dl_phdr_info* info, size_t, void* fields) {
    const auto& m = *static_cast<const TlsFields*>(fields);
    for (int i = 0; i < info->dlpi_phnum; ++i) {
        const auto& p = info->dlpi_phdr[i];
        bool same = p.p_type == PT_TLS && p.p_filesz == m.image_size && p.p_memsz == m.size &&
                    p.p_align == m.alignment &&
                    reinterpret_cast<uintptr_t>(m.image) == info->dlpi_addr + p.p_vaddr;
        if (!same) continue;
        void* mine = variables_in(__builtin_thread_pointer(), m);
        return !is_static(m) || info->dlpi_tls_data == mine ? 1 : 0;
    }
    return 0;
}

bool all_are_right() {
    int right = 0, wrong = 0;
    for_each_module([&](size_t, const TlsFields& m) {
        auto* fields = const_cast<TlsFields*>(&m);
        ++(dl_iterate_phdr(says_the_same, fields) != 0 ? right : wrong);
    });
    return right > 0 && wrong == 0;
}

bool look_up() {
    const char* const priv = "GLIBC_PRIVATE";
    auto* slot_size =
        static_cast<const uint32_t*>(dlvsym(RTLD_DEFAULT, "_thread_db_sizeof_dtv_slotinfo", priv));
    tables.linker = static_cast<char*>(dlvsym(RTLD_DEFAULT, "_rtld_global", priv));
    Dl_info info;
    ElfW(Sym)* symbol = nullptr;
    bool all =
        slot_size != nullptr && tables.linker != nullptr &&
        dladdr1(tables.linker, &info, reinterpret_cast<void**>(&symbol), RTLD_DL_SYMENT) != 0 &&
        symbol != nullptr &&
        find("_thread_db_rtld_global__dl_tls_dtv_slotinfo_list", &tables.list) &&
        find("_thread_db_dtv_slotinfo_list_len", &tables.list_length) &&
        find("_thread_db_dtv_slotinfo_list_next", &tables.list_next) &&
        find("_thread_db_dtv_slotinfo_list_slotinfo", &tables.list_first) &&
        find("_thread_db_dtv_slotinfo_gen", &tables.slot_generation) &&
        find("_thread_db_dtv_slotinfo_map", &tables.slot_module) &&
        find("_thread_db_link_map_l_tls_offset", &tables.module_offset);
    if (!all) return false;
    tables.linker_size = symbol->st_size;
    tables.slot_size = *slot_size;
    return all_are_right();
}

}  // namespace

void late_modules_prepare() {
    if (known == Known::not_yet) known = look_up() ? Known::yes : Known::no;
    if (known == Known::yes) generation = newest();
}

void late_modules_note_lock(const void* mutex) {
    auto distance = reinterpret_cast<uintptr_t>(mutex) - reinterpret_cast<uintptr_t>(tables.linker);
    if (known != Known::yes || distance >= tables.linker_size) return;
    if (self == late_modules_block_maker) return;
    loader = self;
    late_modules_possible = true;
    poll_before_switch();
}

void late_modules_init() {
    late_modules_possible = false;
    size_t most = newest();
    if (most <= generation) return;
    for_each_module([](size_t g, const TlsFields& m) {
        if (g <= generation || !is_static(m)) return;
        for (Thread* t = threads_alive(); t != nullptr; t = t->next_alive) {
            if (t == loader) continue;
            char* place = variables_in(t->block, m);
            memcpy(place, m.image, m.image_size);
            memset(place + m.image_size, 0, m.size - m.image_size);
        }
    });
    generation = most;
}

}  // namespace green
