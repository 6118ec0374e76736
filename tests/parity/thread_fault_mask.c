/* The handler of a fault: the mask that it runs with, that its context tells and that the thread
 * has afterwards are its own thread's; other threads' signals are handled while it waits. Its
 * action is told by sigaction, before and after the first thread exists; and a signal of such a
 * number that was sent to a thread is handled by that one.
 *
 * PARITY: threads=2 switches=5
 */
#include "thread.h"

#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>

enum { page = 4096 };
static char* area;
static sem_t in_fault, leave_fault, other_handled;
static pthread_t handled_by;

static void show(const char* title, const sigset_t* mask) {
    printf("%s:%s%s%s%s\n", title, sigismember(mask, SIGUSR1) ? " USR1" : "",
           sigismember(mask, SIGUSR2) ? " USR2" : "", sigismember(mask, SIGHUP) ? " HUP" : "",
           sigismember(mask, SIGSEGV) ? " SEGV" : "");
}

static void show_now(const char* title) {
    sigset_t mask;
    CHECK(pthread_sigmask(SIG_BLOCK, NULL, &mask) == 0);
    show(title, &mask);
}

static void on_fault(int signal, siginfo_t* info, void* argument) {
    ucontext_t* context = argument;
    (void)signal;
    handled_by = pthread_self();
    if (info->si_code <= 0) return;
    CHECK((char*)info->si_addr >= area && (char*)info->si_addr < area + page);
    show_now("in the handler");
    show("its context", &context->uc_sigmask);
    sem_post(&in_fault);
    while (sem_wait(&leave_fault) != 0) CHECK(errno == EINTR);
    sigaddset(&context->uc_sigmask, SIGHUP);
    CHECK(mprotect(area, page, PROT_READ | PROT_WRITE) == 0);
}

static void on_other(int signal) {
    (void)signal;
    sem_post(&other_handled);
}

static void* make_fault(void* argument) {
    sigset_t mask;
    sigemptyset(&mask);
    sigaddset(&mask, SIGUSR1);
    CHECK(pthread_sigmask(SIG_BLOCK, &mask, NULL) == 0);
    *(volatile char*)area = 1;
    show_now("afterwards");
    return argument;
}

static void* rest(void* argument) {
    while (sem_wait(&leave_fault) != 0) CHECK(errno == EINTR);
    return argument;
}

static void show_action(void) {
    struct sigaction action;
    CHECK(sigaction(SIGSEGV, NULL, &action) == 0);
    SHOW_YES(action.sa_sigaction == on_fault);
    printf("flags: %#x\n", (unsigned)action.sa_flags);
    show("blocks", &action.sa_mask);
}

int main(void) {
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
    sigaddset(&action.sa_mask, SIGUSR2);
    CHECK(sigaction(SIGSEGV, &action, NULL) == 0);
    struct sigaction other = {.sa_handler = on_other, .sa_flags = SA_RESTART};
    CHECK(sigaction(SIGUSR2, &other, NULL) == 0);
    area = mmap(NULL, page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(area != MAP_FAILED);
    CHECK(sem_init(&in_fault, 0, 0) == 0 && sem_init(&leave_fault, 0, 0) == 0);
    CHECK(sem_init(&other_handled, 0, 0) == 0);
    show_action();

    pthread_t thread = spawn(make_fault, NULL);
    while (sem_wait(&in_fault) != 0) CHECK(errno == EINTR);
    show_now("another thread");
    CHECK(kill(getpid(), SIGUSR2) == 0);
    while (sem_wait(&other_handled) != 0) CHECK(errno == EINTR);
    printf("another thread's signal is handled\n");
    sem_post(&leave_fault);
    finish(thread);
    show_action();

    thread = spawn(rest, NULL);
    nap(20);
    CHECK(pthread_kill(thread, SIGSEGV) == 0);
    nap(50);
    SHOW_YES(pthread_equal(handled_by, thread));
    sem_post(&leave_fault);
    finish(thread);
    return 0;
}
