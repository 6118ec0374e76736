// The registers that a handler finds in its ucontext, where no kernel has saved them.
//
// A handler that runs at a safe point was called by us, from inside a call that the thread makes.
// Three kinds of programs look at more than the signal's number:
//  - a garbage collector that stops threads scans each stack from the stack pointer that the
//    context tells, and the registers, where the only pointer to an object may be;
//  - a virtual machine that has something to do in another thread lets its handler change the
//    stack pointer and the address at which the thread goes on, and the return there;
//  - others set the floating-point control words, or the mask.
//
//      caller's frames | context | (room) | run(argument): the handler ...
//                                ^ the stack pointer that the context tells
//
// So the context has the registers as they are when run_with_context() returns, and the return is
// what sigreturn(2) is: a load of all registers from the context. Between the stack pointer and the
// handler's own frames there is room, as there is natively (a red zone and the kernel's frame):
// handlers that change the stack pointer write there.

#include "hooks/signal_context.h"

#include <string.h>

namespace green {

#if defined(__x86_64__)

// The order that the instructions below go by.
static_assert(REG_R8 == 0 && REG_R15 == 7 && REG_RDI == 8 && REG_RSI == 9 && REG_RBP == 10);
static_assert(REG_RBX == 11 && REG_RDX == 12 && REG_RAX == 13 && REG_RCX == 14 && REG_RSP == 15);
static_assert(REG_RIP == 16 && REG_EFL == 17);

// Where to go on, with all registers loaded; one is enough on one kernel thread, for no handler of
// the program's runs and no other green thread is switched to between its two uses.
extern "C" {
__attribute__((visibility("hidden"), used)) void* green_resume_at;
void green_run_with_registers(greg_t* registers, void* floating_point, void (*run)(void*),
                              void* argument) __attribute__((visibility("hidden")));
}

asm(".pushsection .text\n"
    ".type green_run_with_registers, @function\n"
    "green_run_with_registers:\n"
    ".cfi_startproc\n"
    "movq %r12, 4*8(%rdi)\n"
    "movq %r13, 5*8(%rdi)\n"
    "movq %r14, 6*8(%rdi)\n"
    "movq %r15, 7*8(%rdi)\n"
    "movq %rbp, 10*8(%rdi)\n"
    "movq %rbx, 11*8(%rdi)\n"
    "leaq 8(%rsp), %rax\n"
    "movq %rax, 15*8(%rdi)\n"
    "movq (%rsp), %rax\n"
    "movq %rax, 16*8(%rdi)\n"
    "pushfq\n"
    "popq 17*8(%rdi)\n"
    "fxsave64 (%rsi)\n"
    "pushq %rbp\n"
    ".cfi_adjust_cfa_offset 8\n"
    ".cfi_rel_offset %rbp, 0\n"
    "movq %rsp, %rbp\n"
    ".cfi_def_cfa_register %rbp\n"
    "pushq %rdi\n"
    "pushq %rsi\n"
    "subq $1024, %rsp\n"  // the room
    "andq $-16, %rsp\n"
    "movq %rcx, %rdi\n"
    "call *%rdx\n"
    "movq -16(%rbp), %rsi\n"
    "movq -8(%rbp), %rdi\n"
    "fxrstor64 (%rsi)\n"
    "movq 16*8(%rdi), %rax\n"
    "movq %rax, green_resume_at(%rip)\n"
    "pushq 17*8(%rdi)\n"
    "popfq\n"
    "movq 0*8(%rdi), %r8\n"
    "movq 1*8(%rdi), %r9\n"
    "movq 2*8(%rdi), %r10\n"
    "movq 3*8(%rdi), %r11\n"
    "movq 4*8(%rdi), %r12\n"
    "movq 5*8(%rdi), %r13\n"
    "movq 6*8(%rdi), %r14\n"
    "movq 7*8(%rdi), %r15\n"
    "movq 9*8(%rdi), %rsi\n"
    "movq 10*8(%rdi), %rbp\n"
    "movq 11*8(%rdi), %rbx\n"
    "movq 12*8(%rdi), %rdx\n"
    "movq 13*8(%rdi), %rax\n"
    "movq 14*8(%rdi), %rcx\n"
    "movq 15*8(%rdi), %rsp\n"
    "movq 8*8(%rdi), %rdi\n"
    "jmp *green_resume_at(%rip)\n"
    ".cfi_endproc\n"
    ".size green_run_with_registers, . - green_run_with_registers\n"
    ".popsection\n");

void run_with_context(SignalContext* c, void (*run)(void*), void* argument) {
    constexpr greg_t user_segments = 0x002b'0000'0000'0033;
    memset(c, 0, sizeof *c);
    c->context.uc_mcontext.gregs[REG_CSGSFS] = user_segments;
    c->context.uc_mcontext.fpregs = reinterpret_cast<fpregset_t>(c->floating_point);
    green_run_with_registers(c->context.uc_mcontext.gregs, c->floating_point, run, argument);
}

#else

void run_with_context(SignalContext* c, void (*run)(void*), void* argument) {
    memset(c, 0, sizeof *c);
    run(argument);
}

#endif

}  // namespace green
