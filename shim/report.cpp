// What a run did. A file gets one block of "key value" lines for each process that ends by exit(3),
// appended with one write, so that blocks of several processes do not mix.

#include "shim/report.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#include "hooks/activate.h"
#include "hooks/audit.h"
#include "hooks/fs_trap.h"
#include "hooks/hook.h"
#include "hooks/pool.h"
#include "hooks/resolver.h"
#include "runtime/loop.h"
#include "runtime/offload.h"
#include "shim/config.h"
#include "shim/redirect.h"
#include "shim/symbol.h"

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
    void clear() { size_ = 0; }
    void write_to(int fd) const { sys::invoke(SYS_write, fd, text_, size_); }

  private:
    char text_[32768];
    size_t size_ = 0;
};

// Programs close stderr before the destructors run (coreutils do): a duplicate, made at the start.
// Negative: it was closed then, and by now the number may be a file of the program's.
int stats_fd = 2;

uint64_t parks(Park kind) { return stats.parks[static_cast<int>(kind)]; }

// The counters, told twice: by key for programs, by name for people.
template <class Act>
void for_each_counter(Act act) {
    int kernel_threads = sys::kernel_threads();
    if (kernel_threads < 0) kernel_threads = 1 + offload_helpers();  // without /proc: those of ours
    act("kernel_threads", "kernel threads", static_cast<uint64_t>(kernel_threads));
    act("threads_made", "green threads made", stats.threads_made);
    act("threads_peak", "most alive at once", stats.threads_peak);
    act("threads_alive", "alive at the end", stats.threads_alive);
    act("stacks", "stacks in use at the end", stats.stacks);
    if (pool_size != 0) act("pool_waits", "waited to begin (GREEN_POOL)", stats.pool_waits);
    act("switches", "switches", stats.switches);
    if (green_fs_calls != 0) {  // no FSGSBASE here
        act("fs_calls", "system calls for the FS base", green_fs_calls);
        act("fs_repairs", "FS bases lost and repaired", fs_repairs);
    }
    act("parks_fd", "waits for a descriptor", parks(Park::fd));
    act("parks_addr", "waits for another thread", parks(Park::address));
    act("parks_sleep", "sleeps", parks(Park::sleep));
    act("offloaded", "calls on helper threads", stats.offloaded);
    act("uncached_reads", "of them, reads of uncached files", stats.uncached_reads);
    act("dns_questions", "questions to name servers", stats.dns_questions);
    act("dns_shared", "questions asked together", stats.dns_shared);
    act("dns_by_libc", "name server talks left to libc", stats.dns_by_libc);
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

template <class Act>
void for_each_surprise(Act act) {
    for (const Surprise& s : surprises) {
        if (s.call != nullptr) act(s);
    }
}

// "CALL WHERE < CALLER"; without the caller where the instruction is the caller's own.
void describe_surprise(const Surprise& s, char* text, size_t size) {
    char where[256], caller[256] = "";
    describe_address(s.frames[0], where, sizeof where);
    bool by_itself = s.caller == nullptr || s.caller == s.frames[0];
    if (!by_itself) describe_address(s.caller, caller, sizeof caller);
    snprintf(text, size, "%s %s%s%s", s.call, where, by_itself ? "" : " < ", caller);
}

// Within a system call of the program: nothing here may wait.
void tell_surprise(const Surprise& s) {
    char one[600], line[700];
    describe_surprise(s, one, sizeof one);
    int size = snprintf(line, sizeof line, "libgreen: audit: process %ld: %s\n",
                        sys::invoke(SYS_getpid), one);
    sys::invoke(SYS_write, stats_fd, line, size);
}

void add_audit_lines(Text* text) {
    text->add("audited %llu\n", static_cast<unsigned long long>(audited_calls));
    for_each_surprise([&](const Surprise& s) {
        char one[600];
        describe_surprise(s, one, sizeof one);
        text->add("audit %s %llu\n", one, static_cast<unsigned long long>(s.count));
    });
    if (surprises_left_out != 0) {
        text->add("audit others %llu\n", static_cast<unsigned long long>(surprises_left_out));
    }
}

void add_audit_table(Text* text) {
    int kinds = 0;
    for_each_surprise([&](const Surprise&) { ++kinds; });
    text->add("libgreen: audit of %s, process %ld: %llu system calls from outside the library",
              program_invocation_short_name, sys::invoke(SYS_getpid),
              static_cast<unsigned long long>(audited_calls));
    text->add(kinds == 0 ? ", none that could wait while another thread lived\n"
                         : "; these could wait while another thread lived:\n");
    for_each_surprise([&](const Surprise& s) {
        text->add("%10llu  %-16s", static_cast<unsigned long long>(s.count), s.call);
        for (const void* frame : s.frames) {
            char where[512];
            if (frame == nullptr) break;
            describe_address(frame, where, sizeof where);
            text->add("%s%s\n",
                      frame == s.frames[0] ? "in  " : "                            from  ", where);
        }
    });
    if (surprises_left_out != 0) {
        text->add("%10llu  others\n", static_cast<unsigned long long>(surprises_left_out));
    }
}

void add_lines(Text* text) {
    text->add("program %s\npid %ld\nactive %d\n", program_invocation_short_name,
              sys::invoke(SYS_getpid), stats.threads_made > 0 ? 1 : 0);
    for_each_counter([&](const char* key, const char*, uint64_t value) {
        text->add("%s %llu\n", key, static_cast<unsigned long long>(value));
    });
    text->add("resolver %s\nresolver_reason %s\n", resolver_name(), resolver_reason());
    for_each_native_call([&](const char* name, uint64_t count) {
        text->add("native %s %llu\n", name, static_cast<unsigned long long>(count));
    });
    if (audited) add_audit_lines(text);
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
    text->add("  resolver: %s (%s)\n", resolver_name(), resolver_reason());
    for_each_native_call([&](const char* name, uint64_t count) {
        text->add("  handled natively: %-18s %12llu\n", name,
                  static_cast<unsigned long long>(count));
    });
}

}  // namespace

void report_prepare() {
    if (config.stats[0] == '/' || (config.stats[0] == '\0' && !config.audit)) return;
    on_new_surprise = tell_surprise;
    int high = move_fd_high(static_cast<int>(sys::invoke(SYS_fcntl, 2, F_DUPFD_CLOEXEC, 3)));
    if (high >= 0 || high == -EBADF) stats_fd = high;
}

bool report_wanted() { return (config.stats[0] != '\0' || audited) && !sandboxed; }

void report() {
    if (!report_wanted()) return;
    sys::LiftedLimit room(RLIMIT_NOFILE, 1);
    offload_retire();
    static Text text;
    text.clear();
    if (config.stats[0] != '/') {
        if (config.stats[0] != '\0') add_table(&text);
        if (audited) add_audit_table(&text);
        text.write_to(stats_fd);
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
