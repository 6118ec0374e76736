/* _Fork(3) in a thread of a program with signal handlers: the child has the caller only, no fork
 * handlers have run, and signals reach their handlers there.
 *
 * PARITY: switches=1 threads=1 */
#include "thread.h"

#include <signal.h>

static volatile sig_atomic_t handled;
static void on_signal(int number) { handled = number; }

static void ran(void) { printf("a fork handler ran\n"); }

static void* fork_here(void* unused) {
    (void)unused;
    fflush(stdout);
    pid_t child = _Fork();
    CHECK(child >= 0);
    if (child == 0) {
        kill(getpid(), SIGUSR1);
        int first = handled == SIGUSR1;
        sigset_t set, old;
        sigemptyset(&set);
        sigaddset(&set, SIGUSR2);
        sigprocmask(SIG_BLOCK, &set, &old);
        kill(getpid(), SIGUSR2);
        int second = handled == SIGUSR1;
        sigprocmask(SIG_SETMASK, &old, NULL);
        int third = handled == SIGUSR2;
        _exit(first + 2 * second + 4 * third);
    }
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child);
    printf("the child ended with %d\n", WIFEXITED(status) ? WEXITSTATUS(status) : -1);
    return NULL;
}

int main(void) {
    pthread_atfork(ran, ran, ran);
    signal(SIGUSR1, on_signal);
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, fork_here, NULL) == 0);
    signal(SIGUSR2, on_signal);
    CHECK(pthread_join(thread, NULL) == 0);
    return 0;
}
