// The C++ half of the x86-64 switch: what a fresh stack must look like (see context.h).

#include <elf.h>
#include <string.h>
#include <sys/auxv.h>

#include "runtime/context.h"
#include "runtime/sys.h"

extern "C" unsigned char green_have_fsgsbase;
extern "C" void green_context_start();

namespace green {

namespace {
constexpr unsigned long hwcap2_fsgsbase = 1UL << 1;
constexpr int arch_set_fs = 0x1002;

// Without FSGSBASE: the base that belongs to the running context, what the kernel was told, and
// what it is told while there is a trap.
void* fs_of_context = nullptr;
void* volatile told = nullptr;
void* trap = nullptr;
int pins = 0;

// A signal handler may come in between that meets the trap, and tells something else.
__attribute__((no_sanitize("thread"))) void tell_kernel(void* fs) {
    do {
        told = fs;
        ++green_fs_calls;
        long result = SYS_arch_prctl;
        asm volatile("syscall" : "+a"(result) : "D"(arch_set_fs), "S"(fs) : "rcx", "r11", "memory");
    } while (told != fs);
}

// What green_context_switch pops, lowest address first.
struct SavedFrame {
    uint32_t mxcsr;
    uint16_t x87_control;
    uint16_t unused;
    uint64_t r15, r14, r13, r12, rbx, rbp;
    void (*return_address)();
};
}  // namespace

uint64_t green_fs_calls = 0;
uint64_t context_signals = 0;

// On the new context's stack, the other's base still loaded: no thread-local variable may be
// touched here, neither by a sanitizer.
extern "C" __attribute__((used, visibility("hidden"), no_sanitize("thread"))) void green_set_fs(
    void* fs) {
    fs_of_context = fs;
    if (trap == nullptr || pins > 0) return tell_kernel(fs);
    if (told != trap) tell_kernel(trap);
    asm volatile("wrfsbase %0" : : "r"(fs) : "memory");
}

bool context_calls_for_fs() { return !green_have_fsgsbase; }

void context_trap_fs(void* address) {
    constexpr uint64_t sigsegv = 1 << 10;
    // The base may have been lost: it is read while there is still somebody to put it right.
    asm volatile("movq %%fs:0, %0" : "=r"(fs_of_context) : : "memory");
    trap = address;
    context_signals = trap == nullptr ? 0 : sigsegv;
    green_set_fs(fs_of_context);
}

bool context_repair_fs() {
    if (__builtin_expect(trap == nullptr, 1)) return false;
    void* fs;
    asm volatile("rdfsbase %0" : "=r"(fs));
    if (fs != trap) return false;
    asm volatile("wrfsbase %0" : : "r"(fs_of_context) : "memory");
    return true;
}

void context_tell_kernel_fs() {
    if (trap != nullptr && told != fs_of_context) tell_kernel(fs_of_context);
}

void context_pin_fs(bool pin) {
    pins += pin ? 1 : -1;
    if (pin) context_tell_kernel_fs();
}

const char* context_prepare() {
    green_have_fsgsbase = (getauxval(AT_HWCAP2) & hwcap2_fsgsbase) != 0;
    return nullptr;
}

void context_make(Context* context, void* top, void (*entry)()) {
    // green_context_start calls entry, so the stack pointer is a multiple of 16 before that call.
    uintptr_t end = reinterpret_cast<uintptr_t>(top) & ~uintptr_t{15};
    auto* frame = reinterpret_cast<SavedFrame*>(end - sizeof(SavedFrame));
    memset(frame, 0, sizeof *frame);
    // A new thread inherits its creator's floating-point environment (pthread_create(3)).
    asm volatile("stmxcsr %0" : "=m"(frame->mxcsr));
    asm volatile("fnstcw %0" : "=m"(frame->x87_control));
    frame->rbx = reinterpret_cast<uint64_t>(entry);
    frame->return_address = green_context_start;
    context->sp = frame;
}

void* context_lowest(const Context& context) { return context.sp; }

void* context_fs() {
    if (green_have_fsgsbase) {
        void* fs;
        asm volatile("rdfsbase %0" : "=r"(fs));
        return fs;
    }
    return __builtin_thread_pointer();
}

}  // namespace green
