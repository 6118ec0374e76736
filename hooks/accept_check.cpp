// Looking at a program's memory between two accepts: see accept_check.h for what is looked at.
//
// Everything here happens in a process of one thread, inside accept(2), without malloc: the two
// images, the one of the last time and the one of now, lie in mappings of their own. What is freed
// is told from what is live by the heap itself: its chunks lie one after another, each with its
// size and whether the one before it is in use, and a chunk in malloc's thread cache carries a key
// that is the same in all of them.
//
// Which words are pointers is not known, so any that could be one counts. That errs on the safe
// side: at worst a program is told to fork that could be cloned.

#include "hooks/accept_check.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <link.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "hooks/accept_modes.h"
#include "hooks/accept_shape.h"
#include "hooks/hook.h"

namespace green {

namespace {

// ---- memory of our own --------------------------------------------------------------------------

constexpr size_t arena_size = size_t{512} << 20, most_bytes = size_t{64} << 20;

// One image of the program: a bump allocator whose pages are given back when it starts anew.
class Arena {
  public:
    bool start() {
        if (memory_ == nullptr) {
            // Closed pages at both ends keep it apart from the program's mappings.
            constexpr size_t page = 4096;
            long m = sys::invoke(SYS_mmap, nullptr, arena_size + 2 * page, PROT_NONE,
                                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
            if (sys::failed(m)) return false;
            memory_ = reinterpret_cast<char*>(m) + page;
            long opened = sys::invoke(SYS_mprotect, memory_, arena_size, PROT_READ | PROT_WRITE);
            if (sys::failed(opened)) return false;
        } else {
            sys::invoke(SYS_madvise, memory_, used_, MADV_DONTNEED);
        }
        used_ = 0;
        return true;
    }
    template <class T>
    T* get(size_t count) {
        size_t bytes = (count * sizeof(T) + 15) & ~size_t{15};
        if (used_ + bytes > arena_size) return nullptr;
        T* at = reinterpret_cast<T*>(memory_ + used_);
        used_ += bytes;
        return at;
    }
    bool has(uintptr_t address) const {
        return address - reinterpret_cast<uintptr_t>(memory_) < arena_size;
    }

  private:
    char* memory_ = nullptr;
    size_t used_ = 0;
};

struct Range {
    uintptr_t begin, end;
    bool has(uintptr_t a) const { return a >= begin && a < end; }
};

// ---- where things are ---------------------------------------------------------------------------

constexpr int most_regions = 256, most_mappings = 4096;
Range regions[most_regions];  // writable data of the program and of libraries that are its own
int region_count = 0;
Range objects[most_regions];  // all of every loaded object
int object_count = 0;
Range code[most_regions];
int code_count = 0;
Range mappings[most_mappings];  // anonymous memory that may belong to an allocator
int mapping_count = 0;
Range heap;  // what brk(2) made

// The C library and what belongs to it: a wait inside it is one that it is prepared for.
const char* const apart[] = {"/libc.so",  "/ld-linux",  "/libm.so",     "/libpthread", "/libdl.so",
                             "/librt.so", "/libresolv", "/libnss_",     "/libstdc++",  "/libgcc_s",
                             "/libev.so", "/libcares",  "linux-vdso.so"};

void add(Range* table, int* count, uintptr_t begin, uintptr_t end) {
    if (begin < end && *count < most_regions) table[(*count)++] = {begin, end};
}

int add_object(dl_phdr_info* info, size_t, void*) {
    auto here = reinterpret_cast<uintptr_t>(&add_object);
    bool ours = true;
    for (const char* name : apart) ours = ours && strstr(info->dlpi_name, name) == nullptr;
    Range relro = {0, 0};
    for (int i = 0; i < info->dlpi_phnum; ++i) {
        const auto& p = info->dlpi_phdr[i];
        uintptr_t at = info->dlpi_addr + p.p_vaddr;
        if (p.p_type == PT_GNU_RELRO) relro = {at, at + p.p_memsz};
        if (p.p_type == PT_LOAD && here - at < p.p_memsz) ours = false;
    }
    for (int i = 0; i < info->dlpi_phnum; ++i) {
        const auto& p = info->dlpi_phdr[i];
        uintptr_t at = info->dlpi_addr + p.p_vaddr, end = at + p.p_memsz;
        if (p.p_type == PT_TLS && ours && info->dlpi_tls_data != nullptr) {
            auto data = reinterpret_cast<uintptr_t>(info->dlpi_tls_data);
            add(regions, &region_count, data, data + p.p_memsz);
        }
        if (p.p_type != PT_LOAD) continue;
        constexpr uintptr_t page = 4095;
        add(objects, &object_count, at & ~page, (end + page) & ~page);
        if ((p.p_flags & PF_X) != 0) add(code, &code_count, at, end);
        if ((p.p_flags & PF_W) == 0 || !ours) continue;
        if (relro.has(at)) at = relro.end;
        add(regions, &region_count, (at + 7) & ~uintptr_t{7}, end & ~uintptr_t{7});
    }
    return 0;
}

bool in(const Range* table, int count, uintptr_t a) {
    for (int i = 0; i < count; ++i) {
        if (table[i].has(a)) return true;
    }
    return false;
}

// proc(5), maps: "begin-end perms offset dev inode   path".
bool in_an_image(uintptr_t address);

void add_mapping(char* line) {
    char* rest = nullptr;
    Range r = {};
    r.begin = strtoul(line, &rest, 16);
    r.end = strtoul(rest + 1, &rest, 16);
    if (strncmp(rest, " rw-p", 5) != 0) return;
    if (strstr(rest, "[heap]") != nullptr) heap = r;
    if (strchr(rest, '[') != nullptr || strchr(rest, '/') != nullptr) return;
    // Not the images, nor the block of this thread, nor the end of a library's data.
    bool apart = in_an_image(r.begin) ||
                 r.has(reinterpret_cast<uintptr_t>(__builtin_thread_pointer())) ||
                 in(objects, object_count, r.begin);
    if (!apart && mapping_count < most_mappings) mappings[mapping_count++] = r;
}

void find_mappings() {
    mapping_count = 0;
    heap = {};
    long fd = sys::invoke(SYS_openat, AT_FDCWD, "/proc/self/maps", O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0) return;
    char buffer[8192];
    size_t kept = 0;
    for (long n; (n = sys::invoke(SYS_read, fd, buffer + kept, sizeof buffer - 1 - kept)) > 0;) {
        size_t size = kept + static_cast<size_t>(n);
        buffer[size] = '\0';
        char* line = buffer;
        for (char* end; (end = strchr(line, '\n')) != nullptr; line = end + 1) {
            *end = '\0';
            add_mapping(line);
        }
        kept = static_cast<size_t>(buffer + size - line);
        memmove(buffer, line, kept);
    }
    sys::invoke(SYS_close, fd);
}

// ---- the heap -----------------------------------------------------------------------------------

uintptr_t cache_key = 0;  // of chunks in malloc's thread cache
uintptr_t* chunks = nullptr;
size_t chunk_count = 0;

// A chunk: the size of the one before it if that is free; its own size and three flags; user data.
size_t header(uintptr_t chunk) { return reinterpret_cast<size_t*>(chunk)[1]; }
constexpr size_t previous_in_use = 1, is_mapped = 2, flags = 7;

void find_cache_key() {
    if (cache_key != 0) return;
    auto* probe = static_cast<uintptr_t*>(malloc(24));
    if (probe == nullptr) return;
    auto at = reinterpret_cast<uintptr_t>(probe);
    free(probe);
    asm("" : "+r"(at));  // the compiler must not know that this is freed memory
    cache_key = reinterpret_cast<volatile uintptr_t*>(at)[1];
}

void walk_heap(Arena* arena) {
    constexpr size_t most = size_t{4} << 20;
    chunks = arena->get<uintptr_t>(most);
    chunk_count = 0;
    if (chunks == nullptr) return;
    for (uintptr_t at = heap.begin; at + 32 <= heap.end && chunk_count < most;) {
        size_t size = header(at) & ~flags;
        if (size < 32 || size > heap.end - at || size % 16 != 0) break;
        chunks[chunk_count++] = at;
        at += size;
    }
}

// The block that an address lies in, if it is in use.
Range live_block(uintptr_t a) {
    if (heap.has(a)) {
        size_t low = 0, high = chunk_count;
        while (high - low > 1) {
            size_t middle = (low + high) / 2;
            (chunks[middle] <= a ? low : high) = middle;
        }
        // The last chunk is the heap's unused rest.
        if (high == low || low + 1 >= chunk_count || chunks[low] > a) return {0, 0};
        uintptr_t chunk = chunks[low], next = chunks[low + 1];
        bool used = (header(next) & previous_in_use) != 0;
        bool cached = cache_key != 0 && reinterpret_cast<uintptr_t*>(chunk)[3] == cache_key;
        if (!used || cached || a < chunk + 16) return {0, 0};
        return {chunk + 16, next + 8};
    }
    for (int i = 0; i < mapping_count; ++i) {
        Range m = mappings[i];
        if (!m.has(a)) continue;
        size_t size = header(m.begin);
        bool chunk =
            (size & is_mapped) != 0 && (size & ~flags) <= m.end - m.begin && a >= m.begin + 16;
        return chunk ? Range{m.begin + 16, m.begin + (size & ~flags)} : m;
    }
    return {0, 0};
}

// ---- an image -----------------------------------------------------------------------------------

struct Block {
    uintptr_t at;
    size_t size;
    uint64_t hash;
    uintptr_t root;  // the variable it was reached from; 0: the stack
    bool on_stack;   // the stack points to it
};

constexpr size_t slots = size_t{1} << 17, most_blocks = slots / 2;

struct Image {
    Arena arena;
    uint64_t* data[most_regions];
    Block* blocks;
    size_t block_count;
    uint32_t* by_address;  // a hash table of numbers of blocks, from 1
    size_t bytes;
    bool complete;

    Block* find(uintptr_t at) {
        for (size_t i = at / 16 * 0x9e3779b97f4a7c15U >> 47;; i = (i + 1) % slots) {
            if (by_address[i] == 0) return nullptr;
            if (blocks[by_address[i] - 1].at == at) return &blocks[by_address[i] - 1];
        }
    }
    void add(Range r, uintptr_t root, bool on_stack) {
        if (block_count == most_blocks || bytes + (r.end - r.begin) > most_bytes) {
            complete = false;
            return;
        }
        blocks[block_count++] = {r.begin, r.end - r.begin, 0, root, on_stack};
        bytes += r.end - r.begin;
        size_t i = r.begin / 16 * 0x9e3779b97f4a7c15U >> 47;
        while (by_address[i] != 0) i = (i + 1) % slots;
        by_address[i] = static_cast<uint32_t>(block_count);
    }
    void follow(uintptr_t word, uintptr_t root, bool on_stack) {
        Range r = live_block(word);
        if (r.begin == 0) return;
        Block* known = find(r.begin);
        if (known == nullptr) return add(r, root, on_stack);
        known->on_stack = known->on_stack || on_stack;
    }
    bool take(const void* frame);
};

bool Image::take(const void* frame) {
    if (!arena.start()) return false;
    find_mappings();
    find_cache_key();
    walk_heap(&arena);
    blocks = arena.get<Block>(most_blocks);
    by_address = arena.get<uint32_t>(slots);
    block_count = bytes = 0;
    complete = chunks != nullptr && by_address != nullptr;
    auto** end = static_cast<uintptr_t**>(dlsym(RTLD_DEFAULT, "__libc_stack_end"));
    if (!complete || end == nullptr) return false;
    for (auto* at = static_cast<const uintptr_t*>(frame); at < *end; ++at) follow(*at, 0, true);
    for (int i = 0; i < region_count; ++i) {
        size_t words = (regions[i].end - regions[i].begin) / 8;
        bytes += words * 8;
        if (bytes > most_bytes) return false;
        data[i] = arena.get<uint64_t>(words);
        memcpy(data[i], reinterpret_cast<void*>(regions[i].begin), words * 8);
        for (size_t w = 0; w < words; ++w) follow(data[i][w], regions[i].begin + w * 8, false);
    }
    for (size_t b = 0; b < block_count; ++b) {
        uint64_t hash = 14695981039346656037U;
        auto* words = reinterpret_cast<const uint64_t*>(blocks[b].at);
        for (size_t w = 0; w < blocks[b].size / 8; ++w) {
            hash = (hash ^ words[w]) * 1099511628211U;
            follow(words[w], blocks[b].root, false);
        }
        blocks[b].hash = hash;
    }
    return true;
}

// ---- the comparison -----------------------------------------------------------------------------

Image images[2];
Image* last = nullptr;  // null: none yet

bool in_an_image(uintptr_t address) {
    return images[0].arena.has(address) || images[1].arena.has(address);
}

unsigned connections = 0, intervals = 0, waited = 0;
uint64_t waited_ms = 0, longest_ms = 0;
const char* no_need = nullptr;  // or else why no mode is advised
bool unsafe = false;
char reason[512] = "";

// Words that changed and could be counters.
struct Counter {
    uint32_t* at;
    unsigned changes;
};
constexpr int most_counters = 64;
Counter counters[most_counters];
int counter_count = 0;

// The name of the variable at an address, from the symbols of its file, and its size. False:
// unknown.
bool variable_at(uintptr_t address, char* name, size_t room, size_t* size);

void tell(const char* format, ...) __attribute__((format(printf, 1, 2)));
void tell(const char* format, ...) {
    if (unsafe) return;
    unsafe = true;
    va_list list;
    va_start(list, format);
    vsnprintf(reason, sizeof reason, format, list);
    va_end(list);
}

const char* name_of(uintptr_t variable) {
    static char text[256];
    char name[128];
    size_t size = 0;
    if (variable_at(variable, name, sizeof name, &size)) {
        snprintf(text, sizeof text, "the variable %s (%zu bytes)", name, size);
    } else {
        Dl_info info = {};
        dladdr(reinterpret_cast<void*>(variable), &info);
        const char* file = info.dli_fname == nullptr ? "a library" : info.dli_fname;
        snprintf(text, sizeof text, "a variable of %s (it has no symbols that would name it)",
                 file);
    }
    return text;
}

void tell_variable(uintptr_t at) {
    tell("%s changes while a connection is served, and all connections share it", name_of(at));
}

Counter* counter_at(uint32_t* at) {
    for (int i = 0; i < counter_count; ++i) {
        if (counters[i].at == at) return &counters[i];
    }
    if (intervals > 0 || counter_count == most_counters)
        return nullptr;  // it did not change before
    counters[counter_count] = {at, 0};
    return &counters[counter_count++];
}

// Half a word has changed. A counter does so each time, and grows a little.
void compare_half(uint32_t before, uint32_t now, uint32_t* at) {
    if (before == now) return;
    constexpr uint32_t small = 1U << 24, step = 1U << 20;
    Counter* c = now > before && now < small && now - before <= step ? counter_at(at) : nullptr;
    if (c == nullptr) return tell_variable(reinterpret_cast<uintptr_t>(at));
    ++c->changes;
}

void compare_data(const Image& before, const Image& now) {
    for (int i = 0; i < region_count; ++i) {
        size_t words = (regions[i].end - regions[i].begin) / 8;
        for (size_t w = 0; w < words && !unsafe; ++w) {
            uint64_t a = before.data[i][w], b = now.data[i][w];
            if (a == b) continue;
            // A function found at its first call (ld.so's lazy binding).
            if (in(code, code_count, a) && in(code, code_count, b)) continue;
            auto* at = reinterpret_cast<uint32_t*>(regions[i].begin + w * 8);
            compare_half(static_cast<uint32_t>(a), static_cast<uint32_t>(b), at);
            compare_half(static_cast<uint32_t>(a >> 32), static_cast<uint32_t>(b >> 32), at + 1);
        }
    }
}

void compare_blocks(Image* before, const Image& now) {
    for (size_t i = 0; i < now.block_count && !unsafe; ++i) {
        const Block& b = now.blocks[i];
        const Block* was = before->find(b.at);
        if (was == nullptr || (b.on_stack && !was->on_stack)) {
            if (!b.on_stack) continue;  // what points to it has changed, too
            tell(
                "the loop carries a pointer to %zu bytes of heap memory that were made while a "
                "connection was served: two copies of the stack would both own them",
                b.size);
        } else if (was->size != b.size || was->hash != b.hash) {
            if (b.root == 0) {
                tell(
                    "the loop carries a pointer to %zu bytes of heap memory that change while a "
                    "connection is served: two copies of the stack would both use them",
                    b.size);
            } else {
                tell(
                    "%s leads to %zu bytes of heap memory that change while a connection is "
                    "served, and all connections share them",
                    name_of(b.root), b.size);
            }
        }
    }
}

void compare(Image* before, const Image& now) {
    compare_blocks(before, now);
    compare_data(*before, now);
    ++intervals;
    for (int i = 0; i < counter_count && !unsafe; ++i) {
        if (counters[i].changes < intervals) {
            tell_variable(reinterpret_cast<uintptr_t>(counters[i].at));
        }
    }
}

void look_at_memory(const void* frame) {
    if (unsafe && reason[0] != '\0') return;
    if (region_count == 0) dl_iterate_phdr(add_object, nullptr);
    Image* now = last == &images[0] ? &images[1] : &images[0];
    if (!now->take(frame) || !now->complete) {
        return tell("the program has more memory in use than can be looked at");
    }
    if (last != nullptr) compare(last, *now);
    last = now;
}

// ---- names --------------------------------------------------------------------------------------

struct Wanted {
    uintptr_t address;
    char* name;
    size_t room;
    size_t* size;
    bool found;
};

void search_symbols(const char* file, size_t length, uintptr_t base, Wanted* w) {
    auto* elf = reinterpret_cast<const ElfW(Ehdr)*>(file);
    if (length < sizeof *elf || elf->e_shoff + elf->e_shnum * sizeof(ElfW(Shdr)) > length) return;
    auto* sections = reinterpret_cast<const ElfW(Shdr)*>(file + elf->e_shoff);
    for (int i = 0; i < elf->e_shnum && !w->found; ++i) {
        const auto& s = sections[i];
        bool symbols = s.sh_type == SHT_SYMTAB || s.sh_type == SHT_DYNSYM;
        if (!symbols || s.sh_link >= elf->e_shnum || s.sh_offset + s.sh_size > length) continue;
        auto* symbol = reinterpret_cast<const ElfW(Sym)*>(file + s.sh_offset);
        const auto& names = sections[s.sh_link];
        for (size_t n = s.sh_size / sizeof *symbol; n > 0; --n, ++symbol) {
            uintptr_t at = base + symbol->st_value;
            unsigned type = symbol->st_info & 15U;
            bool variable = type == STT_OBJECT && symbol->st_shndx != SHN_UNDEF;
            if (!variable || w->address - at >= symbol->st_size) continue;
            if (symbol->st_name >= names.sh_size) continue;
            snprintf(w->name, w->room, "%s", file + names.sh_offset + symbol->st_name);
            *w->size = symbol->st_size;
            w->found = true;
            return;
        }
    }
}

int search_object(dl_phdr_info* info, size_t, void* wanted) {
    auto* w = static_cast<Wanted*>(wanted);
    bool here = false;
    for (int i = 0; i < info->dlpi_phnum; ++i) {
        const auto& p = info->dlpi_phdr[i];
        here =
            here || (p.p_type == PT_LOAD && w->address - (info->dlpi_addr + p.p_vaddr) < p.p_memsz);
    }
    if (!here) return 0;
    const char* path = info->dlpi_name[0] == '\0' ? "/proc/self/exe" : info->dlpi_name;
    long fd = sys::invoke(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
    struct stat st;
    if (fd >= 0 && sys::invoke(SYS_fstat, fd, &st) == 0 && st.st_size > 0) {
        auto length = static_cast<size_t>(st.st_size);
        long file = sys::invoke(SYS_mmap, nullptr, length, PROT_READ, MAP_PRIVATE, fd, 0);
        if (!sys::failed(file)) {
            search_symbols(reinterpret_cast<char*>(file), length, info->dlpi_addr, w);
            sys::invoke(SYS_munmap, file, length);
        }
    }
    if (fd >= 0) sys::invoke(SYS_close, fd);
    return 1;
}

bool variable_at(uintptr_t address, char* name, size_t room, size_t* size) {
    Wanted w = {address, name, room, size, false};
    dl_iterate_phdr(search_object, &w);
    return w.found;
}

// ---- waiting and reporting ----------------------------------------------------------------------

// How long a connection was there before it was accepted: since then the kernel has sent no data on
// it, and it counts from the beginning (tcp(7), TCP_INFO). Only TCP tells.
void note_waiting(int connection) {
    tcp_info info = {};
    socklen_t size = sizeof info;
    if (sys::invoke(SYS_getsockopt, connection, IPPROTO_TCP, TCP_INFO, &info, &size) < 0) return;
    constexpr uint32_t worth_telling = 10, absurd = 1U << 31;
    uint32_t ms = info.tcpi_last_data_sent;
    if (ms < worth_telling || ms >= absurd) return;
    ++waited;
    waited_ms += ms;
    if (ms > longest_ms) longest_ms = ms;
}

long reporter = 0;  // the process that was looked at

// A server usually ends by a signal, and not by exit(3).
void on_end(int signal) {
    check_report();
    if (signal == SIGUSR2) return;
    // Not through the hooks, which would put this handler in the default's place again.
    sys::signal_action(signal, &sys::default_action);
    sys::raise(signal);
}

void watch_signals() {
    constexpr int watched[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR2};
    for (int signal : watched) {
        struct sigaction action = {};
        if (sigaction(signal, nullptr, &action) != 0 || action.sa_handler != SIG_DFL) continue;
        action.sa_handler = on_end;
        action.sa_flags = SA_RESTART;
        sigaction(signal, &action, nullptr);
    }
}

}  // namespace

void check_listens() {
    if (reporter != 0) return;
    reporter = sys::invoke(SYS_getpid);
    if (accept_mode == AcceptMode::check) watch_signals();
}

void check_accepted(int connection, const void* frame) {
    check_listens();
    ++connections;
    note_waiting(connection);
    constexpr const char* threads =
        "has threads beside the one that accepts; --accept=fork fits if its connections can do "
        "without them";
    if (self != nullptr) check_needs_no_mode(threads);
    if (no_need != nullptr) return;
    look_at_memory(frame);
    if (connections > 1 && shape_forks() == connections - 1) {
        if (check_is_done()) check_needs_no_mode(shape_makes_processes);
    }
}

void check_needs_no_mode(const char* why) {
    if (no_need == nullptr) no_need = why;
}

bool check_is_done() { return no_need != nullptr || unsafe || intervals >= 2; }

const char* check_finds_no_need() { return no_need; }

bool check_finds_clone_safe() { return !unsafe && intervals >= 2; }

const char* check_reason() {
    return unsafe ? reason : "nothing but the stack changes while a connection is served";
}

bool is_check_handler(const void* handler) { return handler == reinterpret_cast<void*>(on_end); }

void (*check_handler_for(int signal))(int) {
    if (accept_mode != AcceptMode::check || reporter != sys::invoke(SYS_getpid)) return SIG_DFL;
    return signal == SIGTERM || signal == SIGINT || signal == SIGHUP ? on_end : SIG_DFL;
}

void check_report() {
    if (reporter == 0 || sys::invoke(SYS_getpid) != reporter) return;
    char text[1024];
    if (connections == 0) {
        dprintf(2, "libgreen: process %ld has listened, and accepted no connection\n", reporter);
        return;
    }
    int n = snprintf(text, sizeof text,
                     "libgreen: %u connections, of which %u had to wait, %lu ms in all, %lu ms at "
                     "most\n",
                     connections, waited, waited_ms, longest_ms);
    size_t used = static_cast<size_t>(n);
    if (no_need != nullptr) {
        snprintf(text + used, sizeof text - used, "libgreen: no mode is advised: the program %s\n",
                 no_need);
    } else if (intervals < 2 && !unsafe) {
        snprintf(text + used, sizeof text - used,
                 "libgreen: too few connections to say whether clone is safe: three are needed\n");
    } else {
        snprintf(text + used, sizeof text - used, "libgreen: %s: %s\n",
                 unsafe ? "clone is not safe, use fork" : "clone looks safe", check_reason());
    }
    sys::invoke(SYS_write, 2, text, strlen(text));
}

void check_forget() {
    reporter = 0;
    connections = 0;
}

}  // namespace green
