// Module, offset and function of an address, as addr2line(1) takes them.
//
// dladdr(3) knows what a module exports, which in a program is next to nothing. Its own functions
// stand in the table that strip(1) removes (.symtab) and that is not mapped: it is read from the
// file, once an address is asked for. Used at the end of a process, and only when the auditor found
// something.

#include "shim/symbol.h"

#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "runtime/sys.h"

namespace green {

namespace {

class MappedFile {
  public:
    explicit MappedFile(const char* path) {
        long fd = sys::invoke(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
        if (fd < 0) return;
        struct stat st;
        if (sys::invoke(SYS_fstat, fd, &st) == 0 && st.st_size > 0) {
            size_ = static_cast<size_t>(st.st_size);
            long r = sys::invoke(SYS_mmap, nullptr, size_, PROT_READ, MAP_PRIVATE, fd, 0);
            if (!sys::failed(r)) bytes_ = reinterpret_cast<const char*>(r);
        }
        sys::invoke(SYS_close, fd);
    }
    ~MappedFile() {
        if (bytes_ != nullptr) sys::invoke(SYS_munmap, bytes_, size_);
    }
    MappedFile(const MappedFile&) = delete;
    MappedFile& operator=(const MappedFile&) = delete;

    // `count` objects at an offset; null if the file is shorter.
    template <class T>
    const T* at(uint64_t offset, uint64_t count = 1) const {
        if (bytes_ == nullptr || offset > size_ || count > (size_ - offset) / sizeof(T)) {
            return nullptr;
        }
        return reinterpret_cast<const T*>(bytes_ + offset);
    }

  private:
    const char* bytes_ = nullptr;
    size_t size_ = 0;
};

void copy_name(char* to, size_t size, const char* name) { snprintf(to, size, "%s", name); }

// The function in a file's own symbol table that holds `address`, which is relative to the module.
void find_in_file(const char* path, uintptr_t address, char* name, size_t size) {
    MappedFile file(path);
    auto* header = file.at<ElfW(Ehdr)>(0);
    if (header == nullptr || memcmp(header->e_ident, ELFMAG, SELFMAG) != 0) return;
    auto* sections = file.at<ElfW(Shdr)>(header->e_shoff, header->e_shnum);
    if (sections == nullptr) return;
    for (int i = 0; i < header->e_shnum; ++i) {
        const auto& table = sections[i];
        if (table.sh_type != SHT_SYMTAB || table.sh_link >= header->e_shnum) continue;
        const auto& strings = sections[table.sh_link];
        uint64_t count = table.sh_size / sizeof(ElfW(Sym));
        auto* symbols = file.at<ElfW(Sym)>(table.sh_offset, count);
        if (symbols == nullptr || file.at<char>(strings.sh_offset, strings.sh_size) == nullptr) {
            return;
        }
        for (const auto* s = symbols; s != symbols + count; ++s) {
            if ((s->st_info & 15) != STT_FUNC || s->st_shndx == SHN_UNDEF) continue;
            if (address - s->st_value >= s->st_size || s->st_name >= strings.sh_size) continue;
            return copy_name(name, size, file.at<char>(strings.sh_offset + s->st_name));
        }
    }
}

}  // namespace

void describe_address(const void* pc, char* text, size_t size) {
    auto address = reinterpret_cast<uintptr_t>(pc);
    Dl_info info = {};
    link_map* module = nullptr;
    void** map = reinterpret_cast<void**>(&module);
    if (dladdr1(reinterpret_cast<void*>(address - 1), &info, map, RTLD_DL_LINKMAP) == 0) {
        snprintf(text, size, "%p", pc);
        return;
    }
    uintptr_t offset = address - module->l_addr;
    bool is_program = module->l_name[0] == '\0';
    char function[256] = "";
    if (info.dli_sname != nullptr) {
        copy_name(function, sizeof function, info.dli_sname);
    } else {
        const char* path = is_program ? "/proc/self/exe" : module->l_name;
        find_in_file(path, offset - 1, function, sizeof function);
    }
    const char* slash = strrchr(info.dli_fname, '/');
    const char* file = slash == nullptr ? info.dli_fname : slash + 1;
    bool named = function[0] != '\0';
    snprintf(text, size, "%s+%#lx%s%s%s", file, offset, named ? " (" : "", function,
             named ? ")" : "");
}

}  // namespace green
