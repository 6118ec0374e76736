/* What a handler finds in its third argument, and what it changes there: the stack pointer and the
 * registers, in which a garbage collector looks for pointers; the mask, which the thread has
 * afterwards; the address at which the thread goes on, in a thread that waits and in one that
 * computes. On other processors than x86-64 nothing is tried.
 *
 * PARITY: threads=4 switches=5
 */
#include "thread.h"

#if defined(__x86_64__)
#    include <signal.h>
#    include <ucontext.h>

static const unsigned long hidden_pointer = 0x5ca1ab1e0ddba11UL;
static int ends[2];
static volatile int ready, stop;
static volatile int seen, found, inside, control_words, blocked_2, has_stack;
static volatile long detours;
static char alternate[65536];

extern char __start_spinning[], __stop_spinning[];
__attribute__((section("spinning"), noinline)) static void spin(void) {
    ready = 1;
    while (!stop) continue;
}

__attribute__((no_sanitize("address"))) static void look(int signal, siginfo_t* info,
                                                         void* argument) {
    ucontext_t* context = argument;
    greg_t* registers = context->uc_mcontext.gregs;
    pthread_attr_t attributes;
    void* low;
    size_t size;
    (void)signal;
    (void)info;
    CHECK(pthread_getattr_np(pthread_self(), &attributes) == 0);
    CHECK(pthread_attr_getstack(&attributes, &low, &size) == 0);
    pthread_attr_destroy(&attributes);
    char *sp = (char*)registers[REG_RSP], *top = (char*)low + size;
    inside = sp > (char*)low && sp < top;
    found = 0;
    for (int i = 0; i < NGREG; i++) found |= (unsigned long)registers[i] == ~hidden_pointer;
    unsigned long* word = (unsigned long*)((unsigned long)sp & ~7UL);
    for (; inside && (char*)word < top - 64; word++) found |= *word == ~hidden_pointer;
    control_words = context->uc_mcontext.fpregs != NULL &&
                    context->uc_mcontext.fpregs->mxcsr >> 7 == 0x3f &&
                    context->uc_mcontext.fpregs->cwd == 0x37f;
    blocked_2 = sigismember(&context->uc_sigmask, SIGUSR2);
    has_stack =
        context->uc_stack.ss_sp == alternate && context->uc_stack.ss_size == sizeof alternate;
    sigaddset(&context->uc_sigmask, SIGHUP);
    seen++;
}

/* Reads a byte while the only copy of a pointer is in a register that calls preserve. */
static void read_with_pointer(char* byte) {
    long got;
    __asm__ volatile(
        "movq %%rsp, %%r13\n"
        "movq %[value], %%r12\n"
        "notq %%r12\n"
        "subq $256, %%rsp\n"
        "andq $-16, %%rsp\n"
        "call read@PLT\n"
        "movq %%r13, %%rsp\n"
        "xorl %%r12d, %%r12d\n"
        : "=a"(got)
        : [value] "r"(hidden_pointer), "D"((long)ends[0]), "S"(byte), "d"(1L)
        : "r12", "r13", "rcx", "r8", "r9", "r10", "r11", "memory", "cc", "xmm0", "xmm1", "xmm2",
          "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12",
          "xmm13", "xmm14", "xmm15");
    CHECK(got == 1);
}

static void show_mask(void) {
    sigset_t mask;
    CHECK(pthread_sigmask(SIG_SETMASK, NULL, &mask) == 0);
    SHOW_LONG(sigismember(&mask, SIGUSR2));
    SHOW_LONG(sigismember(&mask, SIGHUP));
    SHOW_LONG(sigismember(&mask, SIGUSR1));
}

static void* be_looked_at(void* argument) {
    stack_t stack = {.ss_sp = alternate, .ss_size = sizeof alternate}, before;
    sigset_t mask;
    char byte;
    CHECK(sigaltstack(&stack, &before) == 0);
    sigemptyset(&mask);
    sigaddset(&mask, SIGUSR2);
    CHECK(pthread_sigmask(SIG_BLOCK, &mask, NULL) == 0);
    ready = 1;
    read_with_pointer(&byte);
    show_mask();
    CHECK(sigaltstack(&before, NULL) == 0);
    return argument;
}

__attribute__((used)) static void count_detour(void) { detours++; }

/* Saves what the interrupted code may be using, counts, and returns to it. */
__asm__(
    ".pushsection .text\n"
    "detour:\n"
    "pushfq\n"
    "pushq %rax\n pushq %rcx\n pushq %rdx\n pushq %rsi\n pushq %rdi\n"
    "pushq %r8\n pushq %r9\n pushq %r10\n pushq %r11\n pushq %rbp\n"
    "movq %rsp, %rbp\n"
    "andq $-16, %rsp\n"
    "call count_detour\n"
    "movq %rbp, %rsp\n"
    "popq %rbp\n popq %r11\n popq %r10\n popq %r9\n popq %r8\n"
    "popq %rdi\n popq %rsi\n popq %rdx\n popq %rcx\n popq %rax\n"
    "popfq\n"
    "ret $248\n"
    ".popsection\n");
void detour(void) __attribute__((visibility("hidden")));

static void make_detour(int signal, siginfo_t* info, void* argument) {
    greg_t* registers = ((ucontext_t*)argument)->uc_mcontext.gregs;
    (void)signal;
    (void)info;
    char* pc = (char*)registers[REG_RIP];
    inside = pc >= __start_spinning && pc < __stop_spinning;
    registers[REG_RSP] -= 256; /* beyond the red zone; `ret` takes it back */
    *(greg_t*)registers[REG_RSP] = registers[REG_RIP];
    registers[REG_RIP] = (greg_t)detour;
    seen++;
}

static void* wait_for_byte(void* argument) {
    char byte;
    ready = 1;
    CHECK(read(ends[0], &byte, 1) == 1);
    return argument;
}

static void* compute(void* argument) {
    spin();
    return argument;
}

static void send(pthread_t thread, int signal) {
    int before = seen;
    while (!ready) nap(1);
    nap(20);
    CHECK(pthread_kill(thread, signal) == 0);
    while (seen == before) nap(1);
}

static void* leave_by_itself(void* argument) { /* so that a signal to itself meets it in a call */
    CHECK(raise(SIGUSR2) == 0);
    SHOW_LONG(detours);
    return argument;
}

int main(void) {
    struct sigaction action = {.sa_sigaction = look, .sa_flags = SA_SIGINFO | SA_RESTART};
    CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
    action.sa_sigaction = make_detour;
    CHECK(sigaction(SIGUSR2, &action, NULL) == 0);
    CHECK(pipe(ends) == 0);

    puts("--- looks");
    pthread_t thread = spawn(be_looked_at, NULL);
    send(thread, SIGUSR1);
    SHOW_LONG(inside);
    SHOW_LONG(found);
    SHOW_LONG(control_words);
    SHOW_LONG(blocked_2);
    SHOW_LONG(has_stack);
    CHECK(write(ends[1], "x", 1) == 1);
    finish(thread);

    puts("--- goes on elsewhere, in a wait");
    ready = 0;
    thread = spawn(wait_for_byte, NULL);
    for (int i = 0; i < 3; i++) send(thread, SIGUSR2);
    SHOW_LONG(inside);
    CHECK(write(ends[1], "x", 1) == 1);
    finish(thread);
    SHOW_LONG(detours);

    puts("--- in a computation");
    ready = 0;
    thread = spawn(compute, NULL);
    for (int i = 0; i < 3; i++) send(thread, SIGUSR2);
    SHOW_LONG(inside);
    stop = 1;
    finish(thread);
    SHOW_LONG(detours);

    puts("--- by itself");
    finish(spawn(leave_by_itself, NULL));
    return 0;
}
#else
static void* rest(void* argument) { return argument; }
int main(void) {
    for (int i = 0; i < 5; i++) finish(spawn(rest, NULL));
    return 0;
}
#endif
