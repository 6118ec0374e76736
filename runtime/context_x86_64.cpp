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
constexpr int arch_get_fs = 0x1003;

// What green_context_switch pops, lowest address first.
struct SavedFrame {
    uint32_t mxcsr;
    uint16_t x87_control;
    uint16_t unused;
    uint64_t r15, r14, r13, r12, rbx, rbp;
    void (*return_address)();
};
}  // namespace

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
    void* fs = nullptr;
    sys::invoke(SYS_arch_prctl, arch_get_fs, &fs);
    return fs;
}

}  // namespace green
