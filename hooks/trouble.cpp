// Deadlocks, hogs and stack overflows: see trouble.h for what is told and when.
//
// A parked thread prints its own backtrace: it is woken with Wake::report, which park() does not
// pass on, so the unwinder starts from where the thread really is, and it parks again. Nothing here
// calls malloc. Names of functions come from dladdr(3), so a program that is not linked with
// -rdynamic shows offsets, for addr2line(1).
//
// The overflow handler is in place only where the program left SIGSEGV alone, and hides from
// sigaction(2). It says its line, restores the default action and returns: the instruction faults
// again, and the process ends, and dumps its core, as it would have natively.

#include "hooks/trouble.h"

#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unwind.h>

#include "hooks/accept_modes.h"
#include "hooks/activate.h"
#include "hooks/fs_trap.h"
#include "hooks/pool.h"
#include "hooks/signal.h"
#include "runtime/loop.h"
#include "runtime/offload.h"
#include "runtime/scheduler.h"

namespace green {

namespace {

constexpr int most_threads_told = 20, most_frames = 40;

// One write(2) per line: other processes may share stderr.
__attribute__((format(printf, 1, 2))) void say(const char* format, ...) {
    char line[512];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    if (length > static_cast<int>(sizeof line)) length = sizeof line;
    sys::invoke(SYS_write, 2, line, length);
}

const char* name_of(const Thread* t) {
    static char name[16];
    if (t->name[0] != 0) return t->name;
    memset(name, 0, sizeof name);
    constexpr int get_name = 16;  // PR_GET_NAME
    sys::invoke(SYS_prctl, get_name, name);
    return name;
}

struct Walk {
    int frames = 0;
    bool outside = false;        // beyond this library's own frames
    const char* hook = nullptr;  // the outermost frame of ours: what the program called
};

bool is_ours(const Dl_info& info) {
    static Dl_info here;
    if (here.dli_fbase == nullptr) dladdr(reinterpret_cast<void*>(trouble_watch_starts), &here);
    return info.dli_fbase == here.dli_fbase;
}

void say_what_was_called(const char* hook) {
    if (strcmp(hook, "pthread_mutex_lock") != 0 || self->wait.address == nullptr) {
        return say("    %s\n", hook);
    }
    auto* mutex = static_cast<const pthread_mutex_t*>(self->wait.address);
    say("    %s: held by thread %d\n", hook, mutex->__data.__owner);
}

_Unwind_Reason_Code on_frame(_Unwind_Context* context, void* argument) {
    auto* walk = static_cast<Walk*>(argument);
    uintptr_t at = _Unwind_GetIP(context);
    Dl_info info = {};
    bool known = at != 0 && dladdr(reinterpret_cast<void*>(at - 1), &info) != 0;
    if (known && is_ours(info)) {
        if (walk->outside) return _URC_END_OF_STACK;  // where the thread began
        if (info.dli_sname != nullptr) walk->hook = info.dli_sname;
        return _URC_NO_REASON;
    }
    if (!walk->outside && walk->hook != nullptr) say_what_was_called(walk->hook);
    walk->outside = true;
    if (at == 0 || ++walk->frames > most_frames) return _URC_END_OF_STACK;
    if (!known) {
        say("    0x%lx\n", at);
        return _URC_NO_REASON;
    }
    unsigned long offset = at - reinterpret_cast<uintptr_t>(info.dli_fbase);
    const char* slash = strrchr(info.dli_fname, '/');
    const char* object = slash == nullptr ? info.dli_fname : slash + 1;
    if (info.dli_sname == nullptr) {
        say("    %s+0x%lx\n", object, offset);
    } else {
        say("    %s (%s+0x%lx)\n", info.dli_sname, object, offset);
    }
    return _URC_NO_REASON;
}

void print_backtrace() {
    Walk walk;
    _Unwind_Backtrace(on_frame, &walk);
}

// ---- deadlock -----------------------------------------------------------------------------------

// In the context of a thread that was parked and is to tell about itself.
void report_on_self() {
    unsigned running = 0;
    if (waits_for_pool(self, &running)) {
        say("  thread %d \"%s\" waits to begin: %u that the same thread has made run, and "
            "GREEN_POOL "
            "allows %u at a time; if they never end (a pool of the program's own), it must be "
            "larger\n",
            self->tid, name_of(self), running, pool_size);
        return;
    }
    say("  thread %d \"%s\", waits on %p:\n", self->tid, name_of(self), self->wait.address);
    print_backtrace();
}

bool nothing_can_wake(const Thread* t) {
    return t->state == State::parked && t->park == Park::address && !t->timer.queued;
}

// The loop has waited for a second, has no deadline to wait for, and nothing came.
void on_stall() {
    static bool told = false;
    if (told || !warnings) return;
    int threads = 0;
    bool by_pool = false;  // a handler could wake one, but the program did not mean it to
    for (Thread* t = threads_alive(); t != nullptr; t = t->next_alive, ++threads) {
        unsigned running;
        if (!nothing_can_wake(t)) return;
        by_pool = by_pool || waits_for_pool(t, &running);
    }
    if (signal_handlers_installed() && !by_pool) return;
    if (sys::kernel_threads() != 1 + offload_helpers()) return;
    told = true;
    say("libgreen: deadlock: %d thread%s, and nothing is left that could wake one "
        "(GREEN_WARN=0 silences this)\n",
        threads, threads == 1 ? " waits" : "s wait for each other");
    int left = most_threads_told;
    for (Thread* t = threads_alive(); t != nullptr && left > 0; t = t->next_alive, --left) {
        unpark(t, Wake::report);
    }
    if (threads > most_threads_told) {
        say("  (%d of them are shown)\n", most_threads_told);
    }
}

// ---- hog ----------------------------------------------------------------------------------------

bool others_could_run() { return !run_queue_empty() || somebody_is_due(); }

// ---- overflow -----------------------------------------------------------------------------------

void on_fault(int signal, siginfo_t* info, void*) {
    const Thread* t = self;
    auto address = reinterpret_cast<uintptr_t>(info->si_addr);
    auto base = t == nullptr ? 0 : reinterpret_cast<uintptr_t>(t->slot.base);
    if (base != 0 && info->si_code > 0 && address < base && address >= base - t->guard_size) {
        say("libgreen: thread %d \"%s\" has overflowed its stack of %zu KiB; a larger one comes by "
            "pthread_attr_setstacksize, or GREEN_STACK=%zuK for all that have the default\n",
            t->tid, name_of(t), t->stack_size >> 10, t->stack_size >> 9);
    } else if (info->si_code > 0 && connections_have_shared_memory()) {
        say("libgreen: a bad memory access: under --accept=clone all connections share the "
            "program's memory; --accept=check tells whether it can bear that, and --accept=fork "
            "gives each a copy\n");
    }
    kernel_action(signal, &sys::default_action, nullptr);
    if (info->si_code <= 0) {  // it was sent, and will not come again by itself
        sys::raise(signal);
    }
}

void watch_for_overflow() {
    sys::SignalAction action = {};
    kernel_action(SIGSEGV, nullptr, &action);
    if (action.handler != SIG_DFL) return;
    action = {reinterpret_cast<void (*)(int)>(reinterpret_cast<void*>(on_fault)),
              SA_SIGINFO | SA_ONSTACK | sys::sa_restorer, sys::green_restore_frame, 0};
    kernel_action(SIGSEGV, &action, nullptr);
}

}  // namespace

bool is_overflow_handler(const void* handler) {
    return handler == reinterpret_cast<void*>(on_fault);
}

void trouble_watch_starts() {
    if (!warnings) return;
    loop_on_stall = on_stall;
    park_on_report = report_on_self;
    watch_for_overflow();
}

void trouble_slice_used(uint64_t slice) {
    static bool told = false;
    static uint64_t switches = 0;
    static uint64_t busy = 0;
    if (told || !warnings) return;
    busy = switches == stats.switches ? busy + slice : 0;
    switches = stats.switches;
    constexpr uint64_t limit = sys::second;
    if (busy < limit || !others_could_run()) return;
    told = true;
    say("libgreen: thread %d \"%s\" has computed for over a second where it could not be "
        "interrupted, and others wait (GREEN_WARN=0 silences this):\n",
        self->tid, name_of(self));
    print_backtrace();
}

}  // namespace green
