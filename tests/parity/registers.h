// Every register of the CPU filled from a pattern, held through a loop and stored again: what a
// thread has in its registers when it is interrupted, wherever that is, it must find there later.
//
// A check fills a group of registers, counts down `spins` times, and stores the group; it returns
// how many bytes of the pattern were used. The loop is one small function of assembly without a
// call, so whatever interrupts it finds the registers live. The stack below it holds nothing of
// value but the return address: the 128 bytes that a leaf function may use there ("red zone") are
// filled and checked as well.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <vector>

constexpr size_t registers_size = 32 * 64 + 8 * 8;
using registers_check = size_t (*)(const unsigned char* in, unsigned char* out, long spins);

#if defined(__x86_64__)

#    define REGISTERS_SPIN "1: decq %[spins]\n jnz 1b\n"

// All general registers but the stack pointer and the three of the call itself; the flags' carry
// and direction; 16 words of the red zone.
extern "C" size_t registers_general(const unsigned char* in, unsigned char* out, long spins);
asm(R"(
        .text
        .type registers_general, @function
registers_general:
        pushq   %rbx
        pushq   %rbp
        pushq   %r12
        pushq   %r13
        pushq   %r14
        pushq   %r15
        .irp    n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
        movq    (\n * 8)(%rdi), %rax
        movq    %rax, (-128 + \n * 8)(%rsp)
        .endr
        movq    128(%rdi), %rax
        movq    136(%rdi), %rbx
        movq    144(%rdi), %rcx
        movq    152(%rdi), %rbp
        movq    160(%rdi), %r8
        movq    168(%rdi), %r9
        movq    176(%rdi), %r10
        movq    184(%rdi), %r11
        movq    192(%rdi), %r12
        movq    200(%rdi), %r13
        movq    208(%rdi), %r14
        movq    216(%rdi), %r15
        std
        stc
1:      leaq    -1(%rdx), %rdx
        xchgq   %rdx, %rcx              # counted in rcx, which has a jump that spares the flags
        jrcxz   2f
        xchgq   %rdx, %rcx
        jmp     1b
2:      xchgq   %rdx, %rcx
        jnc     3f
        movq    %rax, 128(%rsi)
3:      cld
        movq    %rbx, 136(%rsi)
        movq    %rcx, 144(%rsi)
        movq    %rbp, 152(%rsi)
        movq    %r8, 160(%rsi)
        movq    %r9, 168(%rsi)
        movq    %r10, 176(%rsi)
        movq    %r11, 184(%rsi)
        movq    %r12, 192(%rsi)
        movq    %r13, 200(%rsi)
        movq    %r14, 208(%rsi)
        movq    %r15, 216(%rsi)
        .irp    n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
        movq    (-128 + \n * 8)(%rsp), %rax
        movq    %rax, (\n * 8)(%rsi)
        .endr
        popq    %r15
        popq    %r14
        popq    %r13
        popq    %r12
        popq    %rbp
        popq    %rbx
        movl    $224, %eax
        ret
        .size   registers_general, . - registers_general
)");

static inline size_t registers_x87(const unsigned char* in, unsigned char* out, long spins) {
    asm volatile(
        "fninit\n"
        ".irp n, 0, 1, 2, 3, 4, 5, 6, 7\n fildl (\\n * 4)(%[in])\n .endr\n" REGISTERS_SPIN
        ".irp n, 7, 6, 5, 4, 3, 2, 1, 0\n fistpl (\\n * 4)(%[out])\n .endr\n"
        : [spins] "+r"(spins)
        : [in] "r"(in), [out] "r"(out)
        : "memory", "cc", "st", "st(1)", "st(2)", "st(3)", "st(4)", "st(5)", "st(6)", "st(7)");
    return 32;
}

#    define REGISTERS_16 "0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15"
#    define REGISTERS_31 \
        REGISTERS_16 ", 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31"
#    define REGISTERS_16_LOST                                                                    \
        "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", \
            "xmm11", "xmm12", "xmm13", "xmm14", "xmm15"

__attribute__((target("avx"))) static inline size_t registers_avx(const unsigned char* in,
                                                                  unsigned char* out, long spins) {
    asm volatile(
        ".irp n, " REGISTERS_16 "\n vmovdqu (\\n * 32)(%[in]), %%ymm\\n\n .endr\n" REGISTERS_SPIN
        ".irp n, " REGISTERS_16 "\n vmovdqu %%ymm\\n, (\\n * 32)(%[out])\n .endr\n vzeroupper\n"
        : [spins] "+r"(spins)
        : [in] "r"(in), [out] "r"(out)
        : "memory", "cc", REGISTERS_16_LOST);
    return size_t{16} * 32;
}

__attribute__((target("avx512f,avx512bw"))) static inline size_t registers_avx512(
    const unsigned char* in, unsigned char* out, long spins) {
    asm volatile(
        ".irp n, " REGISTERS_31
        "\n vmovdqu64 (\\n * 64)(%[in]), %%zmm\\n\n .endr\n"
        ".irp n, 0, 1, 2, 3, 4, 5, 6, 7\n kmovq (32 * 64 + \\n * 8)(%[in]), %%k\\n\n "
        ".endr\n" REGISTERS_SPIN ".irp n, " REGISTERS_31
        "\n vmovdqu64 %%zmm\\n, (\\n * 64)(%[out])\n .endr\n"
        ".irp n, 0, 1, 2, 3, 4, 5, 6, 7\n kmovq %%k\\n, (32 * 64 + \\n * 8)(%[out])\n .endr\n"
        "vzeroupper\n"
        : [spins] "+r"(spins)
        : [in] "r"(in), [out] "r"(out)
        : "memory", "cc", REGISTERS_16_LOST, "xmm16", "xmm17", "xmm18", "xmm19", "xmm20", "xmm21",
          "xmm22", "xmm23", "xmm24", "xmm25", "xmm26", "xmm27", "xmm28", "xmm29", "xmm30", "xmm31",
          "k1", "k2", "k3", "k4", "k5", "k6", "k7");
    return registers_size;
}

#endif

// Those that this CPU has.
static inline const std::vector<registers_check>& registers_checks() {
    static const std::vector<registers_check> checks = [] {
        std::vector<registers_check> all;
#if defined(__x86_64__)
        all = {registers_general, registers_x87};
        if (__builtin_cpu_supports("avx")) all.push_back(registers_avx);
        bool wide = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw");
        if (wide) all.push_back(registers_avx512);
#endif
        return all;
    }();
    return checks;
}
