// The switch by itself: contexts on stacks of the test's own, all with the caller's thread block.

#include "runtime/context.h"

#include <fenv.h>
#include <linux/seccomp.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <unwind.h>

#include "tests/unit/green_test.h"

using namespace green_test;

TEST_SUITE_BEGIN("context");

namespace {

Context here, there;
Body there_body;

// Runs there_body, comes back, and may be entered again.
void entry() {
    for (;;) {
        there_body();
        green_context_switch(&there, &here);
    }
}

struct Stack {
    static constexpr size_t size = 65536;
    std::unique_ptr<char[]> memory{new char[size + 16]};
    char* top() { return memory.get() + size; }
};

void go_there() { green_context_switch(&here, &there); }

void make_there(Stack& stack, Body body, size_t unaligned = 0) {
    there_body = std::move(body);
    context_make(&there, stack.top() + unaligned, entry);
    here.fs = there.fs = context_fs();
}

}  // namespace

TEST_CASE("a switch enters the function and comes back, again and again") {
    Stack stack;
    int entered = 0;
    make_there(stack, [&] { ++entered; });
    for (int i = 1; i <= 1000; ++i) {
        go_there();
        REQUIRE(entered == i);
    }
}

TEST_CASE("the context runs on its own stack") {
    Stack stack;
    char* where = nullptr;
    make_there(stack, [&] { where = static_cast<char*>(__builtin_frame_address(0)); });
    go_there();
    CHECK(where > stack.memory.get());
    CHECK(where < stack.top());
}

TEST_CASE("the stack is aligned as the ABI demands, whatever its end") {
    for (size_t unaligned = 0; unaligned < 16; ++unaligned) {
        Stack stack;
        uintptr_t frame = 1;
        make_there(
            stack, [&] { frame = reinterpret_cast<uintptr_t>(__builtin_frame_address(0)); },
            unaligned);
        go_there();
        CHECK(frame % 16 == 0);
    }
}

TEST_CASE("the FS base is known") {
    void* fs = nullptr;
    asm("movq %%fs:0, %0" : "=r"(fs));  // the thread control block starts with its own address
    CHECK(context_fs() == fs);
}

#if defined(__x86_64__)
namespace {
void* stack_pointer;
const Context* target = &there;
Context* origin = &here;
}  // namespace

TEST_CASE("the registers that a call preserves are preserved") {
    Stack stack;
    make_there(stack, [] {
        asm volatile(
            "xorl %%ebx, %%ebx; xorl %%r12d, %%r12d; xorl %%r13d, %%r13d;"
            "xorl %%r14d, %%r14d; xorl %%r15d, %%r15d" ::
                : "rbx", "r12", "r13", "r14", "r15");
    });
    uint64_t seen;
    asm volatile(
        "movq %%rsp, %[sp]\n"
        "subq $128, %%rsp\n"  // below the red zone
        "andq $-16, %%rsp\n"
        "pushq %%rbp\n"
        "pushq %%rbp\n"
        "movl $1, %%ebx\n movl $2, %%ebp\n movl $3, %%r12d\n"
        "movl $4, %%r13d\n movl $5, %%r14d\n movl $6, %%r15d\n"
        "call green_context_switch\n"
        "movq %%rbx, %%rax\n"
        "shlq $8, %%rax\n orq %%rbp, %%rax\n"
        "shlq $8, %%rax\n orq %%r12, %%rax\n"
        "shlq $8, %%rax\n orq %%r13, %%rax\n"
        "shlq $8, %%rax\n orq %%r14, %%rax\n"
        "shlq $8, %%rax\n orq %%r15, %%rax\n"
        "popq %%rbp\n"
        "movq %[sp], %%rsp\n"
        : "=a"(seen), [sp] "=m"(stack_pointer), "+D"(origin), "+S"(target)
        :
        : "rbx", "rcx", "rdx", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "memory", "cc",
          "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7");
    origin = &here;
    target = &there;
    CHECK(seen == 0x010203040506);
}
#endif

TEST_CASE("the floating-point environment is the context's own, inherited from its maker") {
    struct Restore {
        ~Restore() { fesetround(FE_TONEAREST); }
    } restore;
    // fegetround(3) asks the x87 unit only; the sum is done by SSE.
    auto mode = [] {
        volatile double one = 1, tiny = 1e-30;
        bool up = one + tiny > 1, down = one - tiny < 1;
        CHECK(fegetround() == (up ? FE_UPWARD : down ? FE_DOWNWARD : FE_TONEAREST));
        return up ? FE_UPWARD : down ? FE_DOWNWARD : FE_TONEAREST;
    };
    Stack stack;
    std::vector<int> seen;
    fesetround(FE_UPWARD);
    make_there(stack, [&] {
        seen.push_back(mode());
        fesetround(FE_DOWNWARD);
    });
    fesetround(FE_TONEAREST);
    go_there();
    CHECK(mode() == FE_TONEAREST);
    go_there();
    CHECK(mode() == FE_TONEAREST);
    CHECK(seen == std::vector<int>{FE_UPWARD, FE_DOWNWARD});
}

TEST_CASE("an unwinder finds the end of the stack") {
    Stack stack;
    int frames = 0;
    _Unwind_Reason_Code why = _URC_NO_REASON;
    make_there(stack, [&] {
        auto count = [](_Unwind_Context*, void* n) {
            return ++*static_cast<int*>(n) < 1000 ? _URC_NO_REASON : _URC_NORMAL_STOP;
        };
        why = _Unwind_Backtrace(count, &frames);
    });
    go_there();
    CHECK(why == _URC_END_OF_STACK);
    CHECK(frames >= 2);
    CHECK(frames < 50);
}

TEST_CASE("an exception is caught on the context's stack") {
    Stack stack;
    int caught = 0;
    make_there(stack, [&] {
        try {
            throw 42;
        } catch (int value) {
            caught = value;
        }
    });
    go_there();
    CHECK(caught == 42);
}

// In a process that the kernel kills at its first system call but exit(2).
TEST_CASE("a switch makes no system call") {
#if defined(GREEN_SWITCH_IS_ASM) && !defined(__SANITIZE_THREAD__)  // which makes some itself
    constexpr unsigned long hwcap2_fsgsbase = 1UL << 1;
    if ((getauxval(AT_HWCAP2) & hwcap2_fsgsbase) == 0) return;  // arch_prctl(2) it is
    Stack stack;
    int entered = 0;
    make_there(stack, [&] { ++entered; });
    int status = in_child([&] {
        if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) != 0) return 2;
        for (int i = 0; i < 1000; ++i) go_there();
        sys::invoke(SYS_exit, entered == 1000 ? 0 : 1);
        return 3;
    });
    if (status == 2) MESSAGE("no seccomp(2) here");
    CHECK((status == 0 || status == 2));
#endif
}

TEST_SUITE_END();
