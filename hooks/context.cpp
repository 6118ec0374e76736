// getcontext(3), setcontext(3) and swapcontext(3): contexts that a program switches by itself.
//
// libc's functions save and set the kernel's signal mask, which is not the calling green thread's
// (hooks/signal.cpp). So what a context holds is made the thread's own mask, and who enters a
// context takes its mask as by pthread_sigmask(3); libc then gets a copy of the context, with the
// mask that the kernel has anyway. The copy must not lie on the stack, where a signal's frame could
// overwrite it once the stack pointer is another; one is enough on one kernel thread, as no handler
// and no other green thread runs inside libc's function.
//
// What is saved must be the caller's registers: the entries of getcontext and swapcontext let
// libc's getcontext save, and put in the stack pointer and the address of their own caller. libc's
// setcontext is redirected too, because a context that ends enters its uc_link from inside libc.

#include <string.h>
#include <ucontext.h>

#include "hooks/hook.h"
#include "hooks/signal.h"

using namespace green;

#if defined(__x86_64__)

ORIGINAL(int, getcontext, (ucontext_t*), nullptr)
ORIGINAL(int, setcontext, (const ucontext_t*), nullptr)
WAY_BACK(int, setcontext, (const ucontext_t*))

HOOK(int, setcontext, (const ucontext_t* context), redirected) {
    auto libcs = way_back_setcontext() != nullptr ? way_back_setcontext() : original_setcontext();
    if (self == nullptr || in_spawned_child()) return libcs(context);
    pthread_sigmask(SIG_SETMASK, &context->uc_sigmask, nullptr);
    static ucontext_t copy;
    memcpy(&copy, context, offsetof(ucontext_t, __ssp));  // older programs have no more
    signals_fix_frame(&copy);
    return libcs(&copy);
}

// A function of its own, since it is for the compiler to save and restore the caller's registers.
extern "C" __attribute__((visibility("hidden"), used)) void* green_libcs_getcontext() {
    return reinterpret_cast<void*>(original_getcontext());
}

extern "C" __attribute__((visibility("hidden"), used)) int green_context_saved(
    ucontext_t* context, const ucontext_t* next) {
    bool green = self != nullptr && !in_spawned_child();
    if (green) memcpy(&context->uc_sigmask, &self->blocked, sizeof self->blocked);
    return next == nullptr ? 0 : hook_setcontext(next);
}

extern "C" int hook_getcontext(ucontext_t* context) __asm__("getcontext");
extern "C" int hook_swapcontext(ucontext_t* from, const ucontext_t* to) __asm__("swapcontext");
GREEN_ROW(getcontext, interposed)
GREEN_ROW(swapcontext, interposed)

// The offsets are those of gregs[REG_RSP] and gregs[REG_RIP].
static_assert(offsetof(ucontext_t, uc_mcontext.gregs[REG_RSP]) == 0xa0);
static_assert(offsetof(ucontext_t, uc_mcontext.gregs[REG_RIP]) == 0xa8);
asm(".pushsection .text\n"
    ".globl getcontext\n"
    ".type getcontext, @function\n"
    "getcontext:\n"
    "    xorl %esi, %esi\n"
    "    jmp green_swap_context\n"
    ".size getcontext, .-getcontext\n"
    ".globl swapcontext\n"
    ".type swapcontext, @function\n"
    "swapcontext:\n"
    "green_swap_context:\n"
    "    .cfi_startproc\n"
    "    pushq %rdi\n"
    "    .cfi_adjust_cfa_offset 8\n"
    "    pushq %rsi\n"
    "    .cfi_adjust_cfa_offset 8\n"
    "    subq $8, %rsp\n"
    "    .cfi_adjust_cfa_offset 8\n"
    "    call green_libcs_getcontext\n"
    "    movq 16(%rsp), %rdi\n"
    "    call *%rax\n"
    "    addq $8, %rsp\n"
    "    .cfi_adjust_cfa_offset -8\n"
    "    popq %rsi\n"
    "    .cfi_adjust_cfa_offset -8\n"
    "    popq %rdi\n"
    "    .cfi_adjust_cfa_offset -8\n"
    "    testl %eax, %eax\n"
    "    jne 1f\n"
    "    movq (%rsp), %rcx\n"
    "    movq %rcx, 0xa8(%rdi)\n"
    "    leaq 8(%rsp), %rcx\n"
    "    movq %rcx, 0xa0(%rdi)\n"
    "    jmp green_context_saved\n"
    "1:  ret\n"
    "    .cfi_endproc\n"
    "    .size swapcontext, .-swapcontext\n"
    ".popsection\n");

#endif
