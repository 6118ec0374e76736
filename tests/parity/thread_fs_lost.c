/* What belongs to a thread stays the thread's, whenever the kernel runs somebody else in between:
 * at a call that only the kernel sees, with all signals blocked, in handlers, in a handler of
 * SIGSEGV, and while libc starts programs with all signals blocked. (Where user mode sets the FS
 * base and the kernel does not know of it, each of these is a place where the base is lost.)
 *
 * PARITY: threads=9 switches=100
 */
#include "thread.h"

#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <wordexp.h>

enum { rounds = 100 };
static __thread unsigned long mine;
static __thread volatile sig_atomic_t handled;
static __thread sigjmp_buf back;
static volatile int stop;
static volatile char* no_page;
extern char** environ;

/* A sleep that no library can see. */
static void hidden_nap(void) {
    struct timespec time = {0, 100000};
#if defined(__x86_64__)
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"((long)SYS_nanosleep), "D"(&time), "S"(0)
                     : "rcx", "r11", "memory");
#else
    nanosleep(&time, NULL);
#endif
}

static void check_mine(unsigned long id) {
    CHECK(mine == id);
    errno = (int)id;
    hidden_nap();
    CHECK(errno == (int)id && mine == id);
}

static void* nap_hidden(void* argument) {
    mine = (unsigned long)argument;
    for (int i = 0; i < rounds; i++) {
        check_mine((unsigned long)argument);
        sched_yield();
    }
    return NULL;
}

static void* nap_with_all_blocked(void* argument) {
    sigset_t all;
    sigfillset(&all);
    CHECK(pthread_sigmask(SIG_SETMASK, &all, NULL) == 0);
    return nap_hidden(argument);
}

static void on_usr1(int signal) {
    (void)signal;
    check_mine(mine);
    handled++;
}

static void* signal_itself(void* argument) {
    mine = (unsigned long)argument;
    for (int i = 0; i < rounds; i++) {
        CHECK(pthread_kill(pthread_self(), SIGUSR1) == 0);
        sched_yield();
    }
    CHECK(handled == rounds);
    return NULL;
}

static void on_fault(int signal, siginfo_t* info, void* context) {
    (void)signal;
    (void)context;
    CHECK(info->si_addr == no_page);
    check_mine(mine);
    handled++;
    siglongjmp(back, 1);
}

static void* fault(void* argument) {
    mine = (unsigned long)argument;
    while (handled < rounds) {
        if (sigsetjmp(back, 1) == 0) *no_page = 1;
        sched_yield();
    }
    return NULL;
}

/* Computes, so that the kernel has somebody to run. */
static void* compute(void* argument) {
    mine = (unsigned long)argument;
    while (!stop) CHECK(mine == (unsigned long)argument);
    return NULL;
}

static int exit_of(int status) { return WIFEXITED(status) ? WEXITSTATUS(status) : -1; }

static void* start_programs(void* argument) {
    mine = (unsigned long)argument;
    for (int i = 0; i < 5; i++) {
        char* words[] = {"sh", "-c", "exit 4", NULL};
        char line[16] = "";
        wordexp_t expanded;
        pid_t child;
        int status;
        CHECK(exit_of(system("exit 3")) == 3);
        CHECK(posix_spawn(&child, "/bin/sh", NULL, NULL, words, environ) == 0);
        CHECK(waitpid(child, &status, 0) == child && exit_of(status) == 4);
        FILE* pipe = popen("echo five", "r");
        CHECK(pipe != NULL && fgets(line, sizeof line, pipe) != NULL && pclose(pipe) == 0);
        CHECK(strcmp(line, "five\n") == 0);
        CHECK(wordexp("$(echo six seven)", &expanded, 0) == 0 && expanded.we_wordc == 2);
        wordfree(&expanded);
        child = fork();
        if (child == 0) {
            for (int k = 0; k < 5; k++) check_mine(mine);
            _exit(8);
        }
        CHECK(waitpid(child, &status, 0) == child && exit_of(status) == 8);
        child = vfork();
        if (child == 0) _exit(9);
        CHECK(waitpid(child, &status, 0) == child && exit_of(status) == 9);
        check_mine(mine);
    }
    return NULL;
}

int main(void) {
    void* (*bodies[])(void*) = {nap_hidden,    nap_hidden,    nap_with_all_blocked,
                                signal_itself, signal_itself, fault,
                                fault,         start_programs};
    enum { count = sizeof bodies / sizeof *bodies };
    pthread_t threads[count], computing;
    struct sigaction action = {.sa_handler = on_usr1};
    CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
    action = (struct sigaction){.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
    CHECK(sigaction(SIGSEGV, &action, NULL) == 0);
    no_page = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(no_page != MAP_FAILED);
    computing = spawn(compute, (void*)99L);
    for (long i = 0; i < count; i++) threads[i] = spawn(bodies[i], (void*)(i + 1));
    for (int i = 0; i < count; i++) finish(threads[i]);
    stop = 1;
    finish(computing);
    CHECK(sigaction(SIGSEGV, NULL, &action) == 0);
    SHOW_YES(action.sa_sigaction == on_fault);
    SHOW_YES((action.sa_flags & ~0x04000000) == SA_SIGINFO);
    return 0;
}
