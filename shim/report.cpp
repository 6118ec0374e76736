// What a run did. A file gets one block of "key value" lines for each process that ends by exit(3),
// appended with one write, so that blocks of several processes do not mix.

#include "shim/report.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#include "hooks/hook.h"
#include "runtime/loop.h"
#include "shim/config.h"
#include "shim/redirect.h"

namespace green {

namespace {

class Text {
  public:
    __attribute__((format(printf, 2, 3))) void add(const char* format, ...) {
        va_list list;
        va_start(list, format);
        int n = vsnprintf(text_ + size_, sizeof text_ - size_, format, list);
        va_end(list);
        if (n > 0) size_ += static_cast<size_t>(n);
        if (size_ > sizeof text_ - 1) size_ = sizeof text_ - 1;
    }
    void write_to(int fd) const { sys::invoke(SYS_write, fd, text_, size_); }

  private:
    char text_[8192];
    size_t size_ = 0;
};

struct DirectoryEntry {
    uint64_t inode, offset;
    uint16_t length;
    unsigned char type;
    char name[1];
};

// Kernel threads of this process, without opendir: nothing here may depend on the program's state.
int kernel_threads() {
    long fd =
        sys::invoke(SYS_openat, AT_FDCWD, "/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    if (fd < 0) return -1;
    int count = 0;
    alignas(8) char buffer[4096];
    for (long n; (n = sys::invoke(SYS_getdents64, fd, buffer, sizeof buffer)) > 0;) {
        for (long at = 0; at < n;) {
            auto* entry = reinterpret_cast<DirectoryEntry*>(buffer + at);
            count += entry->name[0] != '.' ? 1 : 0;
            at += entry->length;
        }
    }
    sys::invoke(SYS_close, fd);
    return count;
}

uint64_t parks(Park kind) { return stats.parks[static_cast<int>(kind)]; }

// The counters, told twice: by key for programs, by name for people.
template <class Act>
void for_each_counter(Act act) {
    act("kernel_threads", "kernel threads", static_cast<uint64_t>(kernel_threads()));
    act("threads_made", "green threads made", stats.threads_made);
    act("threads_peak", "most alive at once", stats.threads_peak);
    act("switches", "switches", stats.switches);
    act("parks_fd", "waits for a descriptor", parks(Park::fd));
    act("parks_addr", "waits for another thread", parks(Park::address));
    act("parks_sleep", "sleeps", parks(Park::sleep));
    act("offloaded", "calls on helper threads", stats.offloaded);
    act("preemptions", "preemptions", stats.preemptions);
    act("loop_polls", "polls of the kernel", stats.loop_polls);
    act("missed_events", "events missed and found later", stats.missed_events);
    act("redirected", "libc entries redirected", static_cast<uint64_t>(redirected_entries));
}

template <class Act>
void for_each_native_call(Act act) {
    for (HookRow* row = hook_rows_begin; row != hook_rows_end; ++row) {
        if (row->native_calls != 0) act(row->name, row->native_calls);
    }
}

void add_lines(Text* text) {
    text->add("program %s\npid %ld\nactive %d\n", program_invocation_short_name,
              sys::invoke(SYS_getpid), stats.threads_made > 0 ? 1 : 0);
    for_each_counter([&](const char* key, const char*, uint64_t value) {
        text->add("%s %llu\n", key, static_cast<unsigned long long>(value));
    });
    for_each_native_call([&](const char* name, uint64_t count) {
        text->add("native %s %llu\n", name, static_cast<unsigned long long>(count));
    });
    text->add("\n");
}

void add_table(Text* text) {
    text->add("libgreen: %s, process %ld\n", program_invocation_short_name,
              sys::invoke(SYS_getpid));
    if (stats.threads_made == 0) {
        text->add("  no green thread was made: the library stayed dormant\n");
        return;
    }
    for_each_counter([&](const char*, const char* name, uint64_t value) {
        text->add("  %-36s %12llu\n", name, static_cast<unsigned long long>(value));
    });
    for_each_native_call([&](const char* name, uint64_t count) {
        text->add("  handled natively: %-18s %12llu\n", name,
                  static_cast<unsigned long long>(count));
    });
}

// Programs close stderr before the destructors run (coreutils do): a duplicate, made at the start.
int stats_fd = -1;

}  // namespace

void report_prepare() {
    if (strcmp(config.stats, "stderr") != 0) return;
    stats_fd = move_fd_high(static_cast<int>(sys::invoke(SYS_fcntl, 2, F_DUPFD_CLOEXEC, 3)));
}

void report() {
    if (config.stats[0] == '\0') return;
    static Text text;
    text = Text{};
    if (config.stats[0] != '/') {
        add_table(&text);
        text.write_to(stats_fd >= 0 ? stats_fd : 2);
        return;
    }
    constexpr int flags = O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC;
    long fd = sys::invoke(SYS_openat, AT_FDCWD, config.stats, flags, 0666);
    if (fd < 0) {
        dprintf(2, "libgreen: GREEN_STATS: %s: %s\n", config.stats,
                strerror(static_cast<int>(-fd)));
        return;
    }
    add_lines(&text);
    text.write_to(static_cast<int>(fd));
    sys::invoke(SYS_close, fd);
}

}  // namespace green
