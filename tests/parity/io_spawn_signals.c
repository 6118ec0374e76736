/* What a child does to signals before it executes another program is the child's own: after vfork
 * (whose child runs in the parent's memory), posix_spawn with attributes, popen and system, the
 * parent's handlers and masks are as they were and its handlers still run.
 *
 * PARITY: switches=5 threads=2 */
#include "parity.h"

#include <spawn.h>

extern char** environ;

static long handled;

static void count(int number) {
    (void)number;
    add_to(&handled, 1);
}

static char name[] = "sh", option[] = "-c", script[] = "exit 5";
static char* const arguments[] = {name, option, script, NULL};

/* Sends a signal to the process; it must run the handler. */
static void still_handled(const char* after) {
    struct sigaction now;
    long before = value_of(&handled);
    SAME(sigaction(SIGUSR1, NULL, &now), 0);
    CHECK(now.sa_handler == count);
    SAME(sigaction(SIGUSR2, NULL, &now), 0);
    CHECK(now.sa_handler == SIG_IGN);
    SAME(kill(getpid(), SIGUSR1), 0);
    wait_for(&handled, before + 1);
    SAME(kill(getpid(), SIGUSR2), 0);
    say("handled after %s", after);
}

static void status_is_5(pid_t child) {
    int status = 0;
    SAME(waitpid(child, &status, 0), child);
    SAME(WEXITSTATUS(status), 5);
}

__attribute__((noinline)) static pid_t vfork_with_signal(void) {
    pid_t child = vfork();
    if (child == 0) {
        signal(SIGUSR1, SIG_DFL);
        signal(SIGUSR2, SIG_DFL);
        execve("/bin/sh", arguments, environ);
        _exit(1);
    }
    return child;
}

__attribute__((noinline)) static pid_t vfork_with_sigaction(void) {
    pid_t child = vfork();
    if (child == 0) {
        struct sigaction action;
        memset(&action, 0, sizeof action);
        action.sa_handler = SIG_IGN;
        sigaction(SIGUSR1, &action, NULL);
        action.sa_handler = SIG_DFL;
        sigaction(SIGUSR2, &action, NULL);
        execve("/bin/sh", arguments, environ);
        _exit(1);
    }
    return child;
}

static pid_t spawn_with_defaults(void) {
    posix_spawnattr_t attributes;
    sigset_t all;
    pid_t child;
    sigfillset(&all);
    SAME(posix_spawnattr_init(&attributes), 0);
    SAME(posix_spawnattr_setsigdefault(&attributes, &all), 0);
    SAME(posix_spawnattr_setsigmask(&attributes, &all), 0);
    SAME(posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK), 0);
    SAME(posix_spawn(&child, "/bin/sh", NULL, &attributes, arguments, environ), 0);
    SAME(posix_spawnattr_destroy(&attributes), 0);
    return child;
}

static void* in_a_thread(void* argument) {
    status_is_5(vfork_with_signal());
    still_handled("vfork and signal in a thread");
    status_is_5(vfork_with_sigaction());
    still_handled("vfork and sigaction in a thread");
    status_is_5(spawn_with_defaults());
    still_handled("posix_spawn in a thread");
    return argument;
}

int main(void) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = count;
    action.sa_flags = SA_RESTART;
    SAME(sigaction(SIGUSR1, &action, NULL), 0);
    action.sa_handler = SIG_IGN;
    SAME(sigaction(SIGUSR2, &action, NULL), 0);
    start_ticking();
    status_is_5(vfork_with_signal());
    still_handled("vfork and signal");
    status_is_5(vfork_with_sigaction());
    still_handled("vfork and sigaction");
    status_is_5(spawn_with_defaults());
    still_handled("posix_spawn");
    FILE* stream = popen("exit 5", "r");
    CHECK(stream != NULL);
    SAME(WEXITSTATUS(pclose(stream)), 5);
    still_handled("popen");
    SAME(WEXITSTATUS(system("exit 5")), 5);
    still_handled("system");
    join(start(in_a_thread, NULL));
    stop_ticking();
    return 0;
}
