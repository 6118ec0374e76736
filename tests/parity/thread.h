/* What the thread_* programs share: a check that ends the program at the first surprise, a line
 * that shows a call and its result by name, deadlines, and short forms of create and join.
 *
 * The programs print only what does not depend on which thread ran first; whatever does is checked
 * with CHECK. SHOW prints the call itself, so that the listing reads like the program. */
#ifndef PARITY_THREAD_H
#define PARITY_THREAD_H

#ifndef _GNU_SOURCE
#    define _GNU_SOURCE
#endif
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static inline void thread_check(int ok, const char* what, const char* file, int line) {
    if (ok) return;
    int error = errno;
    const char* slash = strrchr(file, '/');
    printf("CHECK failed at %s:%d: %s (errno %d)\n", slash ? slash + 1 : file, line, what, error);
    fflush(stdout);
    _exit(1);
}

/* A condition that must hold: silent when it does, the end of the program when it does not. */
#define CHECK(condition) thread_check(!!(condition), #condition, __FILE__, __LINE__)

/* The name of what a call returned: an error number, or -1 with errno. */
static inline const char* result_name(long result) {
    if (result == 0) return "0";
    const char* name = strerrorname_np(result < 0 ? errno : (int)result);
    return name ? name : "unknown";
}

/* Runs a call that returns 0, an error number, or -1 with errno; prints the call and its result. */
#define SHOW(call)                                          \
    do {                                                    \
        errno = 0;                                          \
        const char* show_name_ = result_name((long)(call)); \
        printf("%s: %s\n", #call, show_name_);              \
    } while (0)

#define SHOW_LONG(expression) printf("%s: %ld\n", #expression, (long)(expression))
#define SHOW_YES(condition) printf("%s: %s\n", #condition, (condition) ? "yes" : "no")

/* The point `ms` milliseconds from now (or before now) on a clock. */
static inline struct timespec in_ms(clockid_t clock, long ms) {
    struct timespec t;
    clock_gettime(clock, &t);
    long long ns = t.tv_nsec + (long long)ms * 1000000;
    t.tv_sec += ns / 1000000000;
    ns %= 1000000000;
    if (ns < 0) {
        ns += 1000000000;
        t.tv_sec -= 1;
    }
    t.tv_nsec = ns;
    return t;
}

/* Has this point been reached? A call that timed out must not have come back earlier. */
static inline int reached(clockid_t clock, struct timespec t) {
    struct timespec now;
    clock_gettime(clock, &now);
    return now.tv_sec > t.tv_sec || (now.tv_sec == t.tv_sec && now.tv_nsec >= t.tv_nsec);
}

/* Long enough for another thread to go to sleep in the call it is about to make. */
static inline void nap(long ms) {
    struct timespec t = {ms / 1000, ms % 1000 * 1000000};
    while (nanosleep(&t, &t) != 0) CHECK(errno == EINTR);
}

static inline pthread_t spawn(void* (*body)(void*), void* arg) {
    pthread_t thread;
    int error = pthread_create(&thread, NULL, body, arg);
    CHECK(error == 0);
    return thread;
}

static inline void* finish(pthread_t thread) {
    void* result = NULL;
    int error = pthread_join(thread, &result);
    CHECK(error == 0);
    return result;
}

/* Waits for a child process and returns its exit status; 128 + the signal when it was killed. */
static inline int child_status(pid_t pid) {
    int status = 0;
    pid_t got;
    do {
        got = waitpid(pid, &status, 0);
    } while (got < 0 && errno == EINTR);
    CHECK(got == pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

#endif
