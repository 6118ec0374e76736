/* A signal that a call brings upon its own thread (SIGPIPE, SIGXFSZ): a thread that has it blocked
 * finds it pending and fetches it, though other threads do not block it and its default action
 * would end the process; in a thread that does not block it, it does; handlers and SIG_IGN work on.
 *
 * PARITY: switches=5 threads=2 */
#include "parity.h"

#include <sys/resource.h>

static long waiting, handled;

static void block(int number) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, number);
    SAME(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
}

/* The signal is pending, once. */
static void fetch(int number) {
    sigset_t set;
    struct timespec none = {0, 0};
    SAME(sigpending(&set), 0);
    CHECK(sigismember(&set, number));
    sigemptyset(&set);
    sigaddset(&set, number);
    SAME(sigtimedwait(&set, NULL, &none), number);
    FAILS(sigtimedwait(&set, NULL, &none), EAGAIN);
}

static int pipe_without_reader(void) {
    int ends[2];
    SAME(pipe(ends), 0);
    SAME(close(ends[0]), 0);
    return ends[1];
}

static void* write_blocked(void* argument) {
    block(SIGPIPE);
    int fd = pipe_without_reader(), pair[2];
    wait_ticks(2);
    FAILS(write(fd, "x", 1), EPIPE);
    wait_ticks(2);
    fetch(SIGPIPE);
    unix_pair(pair);
    SAME(close(pair[0]), 0);
    FAILS(send(pair[1], "x", 1, 0), EPIPE);
    fetch(SIGPIPE);
    FAILS(send(pair[1], "x", 1, MSG_NOSIGNAL), EPIPE);
    FILE* file = fdopen(fd, "w");
    CHECK(fputs("abc", file) >= 0);
    FAILS(fflush(file), EPIPE);
    fetch(SIGPIPE);
    SAME(fclose(file), 0);
    return argument;
}

static void* write_large_file(void* argument) {
    block(SIGXFSZ);
    char name[] = "/tmp/parity-XXXXXX";
    int fd = mkstemp(name);
    SAME(unlink(name), 0);
    SAME(write(fd, "1234", 4), 4);
    FAILS(write(fd, "5", 1), EFBIG);
    fetch(SIGXFSZ);
    return argument;
}

static void* write_unblocked(void* argument) {
    (void)!write(pipe_without_reader(), "x", 1);
    say("not reached");
    return argument;
}

static void* stay_blocked(void* argument) {
    block(SIGPIPE);
    set_to(&waiting, 1);
    sleep_ms(30000);
    return argument;
}

static void handler(int number) {
    SAME(number, SIGPIPE);
    add_to(&handled, 1);
}

/* Runs it in a child, beside a thread that has the signal blocked. */
static void in_child(const char* what, void (*body)(void)) {
    int status;
    pid_t child = fork();
    if (child == 0) {
        start_ticking();
        start(stay_blocked, NULL);
        wait_for(&waiting, 1);
        body();
        _exit(0);
    }
    SAME(waitpid(child, &status, 0), child);
    say("%s: %s %d", what, WIFSIGNALED(status) ? "signal" : "status",
        WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
}

static void limit_file(void) {
    struct rlimit limit = {4, RLIM_INFINITY};
    SAME(setrlimit(RLIMIT_FSIZE, &limit), 0);
    join(start(write_large_file, NULL));
}

static void thread_dies(void) { join(start(write_unblocked, NULL)); }

static void kill_self(void) {
    SAME(kill(getpid(), SIGPIPE), 0);
    sleep_ms(5000);
}

static void raise_self(void) { SAME(raise(SIGPIPE), 0); }

static void change_action(void) {
    int fd = pipe_without_reader();
    CHECK(signal(SIGPIPE, handler) == SIG_DFL);
    FAILS(write(fd, "x", 1), EPIPE);
    SAME(handled, 1);
    CHECK(signal(SIGPIPE, SIG_IGN) == handler);
    FAILS(write(fd, "x", 1), EPIPE);
    SAME(handled, 1);
    CHECK(signal(SIGPIPE, SIG_DFL) == SIG_IGN);
    struct sigaction action;
    SAME(sigaction(SIGPIPE, NULL, &action), 0);
    CHECK(action.sa_handler == SIG_DFL);
    (void)!write(fd, "x", 1);
}

int main(void) {
    start_ticking();
    join(start(write_blocked, NULL));
    say("blocked by the writer, not by others");
    in_child("a file too large", limit_file);
    in_child("not blocked by the writer", thread_dies);
    in_child("sent", kill_self);
    in_child("raised", raise_self);
    in_child("handled, ignored, default", change_action);
    stop_ticking();
    return 0;
}
