/* A program that is executed begins with the signal mask of the thread that executed it, however it
 * was made: posix_spawn with and without a mask of its own, popen, system, vfork, fork, and exec in
 * a thread. The mask of the thread itself stays, the main thread's was never touched.
 *
 * PARITY: switches=1 threads=2 */
#include "parity.h"

#include <spawn.h>

extern char** environ;

static char name[] = "grep", pattern[] = "^SigBlk", file[] = "/proc/self/status";
static char* const arguments[] = {name, pattern, file, NULL};

static void say_own(const char* when) {
    sigset_t set;
    SAME(pthread_sigmask(SIG_SETMASK, NULL, &set), 0);
    say("%s: own mask USR1 %d, USR2 %d", when, sigismember(&set, SIGUSR1),
        sigismember(&set, SIGUSR2));
}

static void end_of(pid_t child) {
    int status = 0;
    SAME(waitpid(child, &status, 0), child);
    SAME(status, 0);
}

static void* execute(void* argument) {
    execvp(name, arguments);
    return argument;
}

/* In a forked child, a new thread with the mask of its maker executes the program. */
static int execute_in_thread(void) {
    join(start(execute, NULL));
    return 1;
}

__attribute__((noinline)) static pid_t by_vfork(void) {
    pid_t child = vfork();
    if (child == 0) {
        execvp(name, arguments);
        _exit(1);
    }
    return child;
}

static void* masked(void* argument) {
    sigset_t set;
    pid_t child;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    SAME(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
    say_own("before");
    SAME(posix_spawnp(&child, name, NULL, NULL, arguments, environ), 0);
    end_of(child);
    say_own("posix_spawn");

    posix_spawnattr_t attributes;
    sigaddset(&set, SIGUSR2);
    SAME(posix_spawnattr_init(&attributes), 0);
    SAME(posix_spawnattr_setsigmask(&attributes, &set), 0);
    SAME(posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK), 0);
    SAME(posix_spawnp(&child, name, NULL, &attributes, arguments, environ), 0);
    end_of(child);
    SAME(posix_spawnattr_destroy(&attributes), 0);
    say_own("posix_spawn with a mask");

    char line[100];
    FILE* stream = popen("exec grep ^SigBlk /proc/self/status", "r");
    CHECK(stream != NULL);
    while (fgets(line, sizeof line, stream) != NULL) printf("%s", line);
    SAME(pclose(stream), 0);
    say_own("popen");
    SAME(system("exec grep ^SigBlk /proc/self/status"), 0);
    say_own("system");
    end_of(by_vfork());
    say_own("vfork");
    child = fork();
    if (child == 0) {
        execvp(name, arguments);
        _exit(1);
    }
    end_of(child);
    say_own("fork");
    child = fork();
    if (child == 0) _exit(execute_in_thread());
    end_of(child);
    say_own("a thread's exec");
    return argument;
}

int main(void) {
    start_ticking();
    join(start(masked, NULL));
    say_own("main");
    end_of(by_vfork());
    stop_ticking();
    return 0;
}
