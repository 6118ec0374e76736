/* A signal that arrives while its thread is inside libc is handled when the thread is back in its
 * own code, also if it makes no call that could wait: flags set by handlers end loops, a signal
 * sent to oneself by any means has been handled when the call returns, and a handler that runs in
 * a waiting thread is not kept waiting by one that computes.
 *
 * PARITY: threads=2 switches=1 timeout=60
 */
#include "thread.h"

#include <signal.h>
#include <sys/syscall.h>
#include <sys/time.h>

static volatile sig_atomic_t flag;
static char memory[64 << 10];
static sem_t never;

static void handler(int number) {
    (void)number;
    flag = 1;
}

static void soon(void) {
    struct itimerval t = {{0, 0}, {0, 20000}};
    flag = 0;
    CHECK(setitimer(ITIMER_REAL, &t, NULL) == 0);
}

static void loops(const char* when) {
    soon();
    while (!flag) memset(memory, flag, sizeof memory);
    soon();
    while (!flag) getppid();
    soon();
    while (!flag) free(malloc(100));
    soon();
    while (!flag) snprintf(memory, sizeof memory, "%f", 1.0 / 3);
    printf("%s: the loops have ended\n", when);
}

static void* nothing(void* arg) { return arg; }

static void* waits(void* arg) {
    while (sem_wait(&never) != 0) CHECK(errno == EINTR);
    return arg;
}

static void* signals_and_ends(void* first) {
    usleep(20000);
    CHECK(pthread_kill(*(pthread_t*)first, SIGUSR1) == 0);
    return NULL;
}

static void* computes(void* arg) {
    soon();
    while (!flag) getppid();
    return arg;
}

int main(void) {
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
    CHECK(sigaction(SIGALRM, &action, NULL) == 0);
    CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
    sem_init(&never, 0, 0);
    finish(spawn(nothing, NULL));

    flag = 0;
    CHECK(sigqueue(getpid(), SIGUSR1, (union sigval){0}) == 0);
    printf("sigqueue: %d\n", flag);
    flag = 0;
    CHECK(killpg(getpgrp(), SIGUSR1) == 0);
    printf("killpg: %d\n", flag);
    flag = 0;
    CHECK(syscall(SYS_kill, getpid(), SIGUSR1) == 0);
    printf("kill by number: %d\n", flag);
    flag = 0;
    CHECK(syscall(SYS_tkill, gettid(), SIGUSR1) == 0);
    printf("tkill by number: %d\n", flag);

    loops("alone");
    pthread_t other = spawn(waits, NULL);
    loops("beside a thread that waits");
    sem_post(&never);
    finish(other);

    pthread_t me = pthread_self();
    flag = 0;
    other = spawn(signals_and_ends, &me);
    while (!flag) {
    }
    finish(other);
    printf("sent by one that ends\n");

    sigset_t alarms;
    sigemptyset(&alarms);
    sigaddset(&alarms, SIGALRM);
    CHECK(pthread_sigmask(SIG_BLOCK, &alarms, NULL) == 0);
    other = spawn(computes, NULL);
    CHECK(pthread_sigmask(SIG_UNBLOCK, &alarms, NULL) == 0);
    finish(other);
    printf("handled by the one that waits\n");
    return 0;
}
