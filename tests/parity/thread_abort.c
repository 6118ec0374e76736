/* abort(3) ends the process by SIGABRT even if the thread blocks it, as those of libraries often
 * do, and if it is ignored or handled; a handler may leave by siglongjmp.
 *
 * PARITY: switches=1 threads=1
 */
#include "thread.h"

#include <assert.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/resource.h>

static sigjmp_buf out;

static void come_back(int signal) {
    (void)signal;
    write(1, "handled\n", 8);
}

static void jump(int signal) { siglongjmp(out, signal); }

static void* body(void* arg) {
    sigset_t all;
    struct sigaction action = {.sa_handler = *(sighandler_t*)arg};
    sigfillset(&all);
    CHECK(pthread_sigmask(SIG_SETMASK, &all, NULL) == 0);
    if (action.sa_handler != SIG_ERR) CHECK(sigaction(SIGABRT, &action, NULL) == 0);
    if (action.sa_handler == SIG_ERR) assert(arg == NULL);
    if (sigsetjmp(out, 1) == 0) abort();
    CHECK(pthread_sigmask(SIG_SETMASK, NULL, &all) == 0);
    printf("still here, blocked: %d\n", sigismember(&all, SIGABRT));
    fflush(stdout);
    return NULL;
}

static void try(const char* what, sighandler_t handler) {
    printf("%s\n", what);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        struct rlimit none = {0, 0};
        setrlimit(RLIMIT_CORE, &none);
        close(2);
        finish(spawn(body, &handler));
        _exit(0);
    }
    printf("ended: %d\n", child_status(child));
}

static void* nothing(void* arg) { return arg; }

int main(void) {
    finish(spawn(nothing, NULL));
    try("default", SIG_DFL);
    try("ignored", SIG_IGN);
    try("handled", come_back);
    try("left", jump);
    try("by assert", SIG_ERR);
    return 0;
}
