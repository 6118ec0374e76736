/* A SIGSEGV that another process sends is handled on the alternate stack of the thread that it
 * meets, and its handler may wait while another thread makes a fault of its own.
 *
 * PARITY: switches=2 threads=1 */
#include "parity.h"

#include <sys/mman.h>

enum { PAGE = 4096, SIZE = 65536 };

static char* page;
static volatile int sent, handled;

static void on_signal(int number, siginfo_t* info, void* context) {
    char local[5000];
    (void)number;
    (void)context;
    memset(local, info->si_code > 0, sizeof local);
    if (info->si_code > 0) {
        SAME(mprotect(page, PAGE, PROT_READ | PROT_WRITE), 0);
        return;
    }
    sent = 1;
    while (!handled) sleep_ms(1);
    sent = 2;
}

static void use_stack(void) {
    stack_t stack = {.ss_sp = malloc(SIZE), .ss_size = SIZE};
    CHECK(stack.ss_sp != NULL);
    SAME(sigaltstack(&stack, NULL), 0);
}

static void* fault(void* argument) {
    use_stack();
    while (sent == 0) sleep_ms(1);
    *page = 1;
    handled = 1;
    return argument;
}

int main(void) {
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    pid_t me = getpid();
    double kept = 3;
    page = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(page != MAP_FAILED);
    use_stack();
    SAME(sigaction(SIGSEGV, &action, NULL), 0);
    pthread_t other = start(fault, NULL);
    pid_t child = fork();
    if (child == 0) {
        sleep_ms(50);
        _exit(kill(me, SIGSEGV));
    }
    while (sent < 2) kept = kept * 0.5 + 1.5;
    SAME(kept, 3);
    join(other);
    SAME(waitpid(child, NULL, 0), child);
    say("a signal and a fault");
    return 0;
}
