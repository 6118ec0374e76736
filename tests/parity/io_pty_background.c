/* Threads that read the terminal from a process group in the background, while there is nothing to
 * read: SIGTTIN stops the process, which reads on in the foreground; where that is ignored,
 * blocked, or nobody would continue the process, the read fails.
 *
 * PARITY: threads=4 */
#include "parity.h"

#include <pty.h>
#include <sys/wait.h>
#include <termios.h>

enum way { STOPS, IGNORES, BLOCKS, ORPHANED, WAYS };

static void* read_terminal(void* argument) {
    char line[16];
    if ((intptr_t)argument == BLOCKS) {
        sigset_t mask;
        sigemptyset(&mask);
        sigaddset(&mask, SIGTTIN);
        SAME(pthread_sigmask(SIG_BLOCK, &mask, NULL), 0);
    }
    ssize_t n = read(0, line, sizeof line);
    return (void*)(intptr_t)(n < 0 ? errno : 100 + n);
}

/* A process of a group of its own, which tells what its thread's read has returned. */
static pid_t read_in_background(enum way way, int told) {
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        SAME(setpgid(0, 0), 0);
        signal(SIGTTIN, way == IGNORES ? SIG_IGN : SIG_DFL);
        if (way == ORPHANED) sleep_ms(200);
        unsigned char got = (unsigned char)(intptr_t)join(start(read_terminal, (void*)way));
        SAME(write(told, &got, 1), 1);
        _exit(0);
    }
    (void)setpgid(child, child); /* both sides try, so that it is done in time */
    return child;
}

static void lead_session(enum way way, int told) {
    int status = 0;
    signal(SIGTTOU, SIG_IGN);
    pid_t child = way == ORPHANED ? fork() : read_in_background(way, told);
    if (child == 0) {
        read_in_background(way, told);
        _exit(0);
    }
    SAME(waitpid(child, &status, WUNTRACED), child);
    if (WIFSTOPPED(status)) {
        SAME(WSTOPSIG(status), SIGTTIN);
        SAME(write(told, "s", 1), 1);
        SAME(tcsetpgrp(0, child), 0);
        SAME(kill(child, SIGCONT), 0);
    }
    for (;;) pause();
}

static void* try_way(void* argument) {
    static const char* const names[] = {"stops", "ignores", "blocks", "orphaned"};
    enum way way = (enum way)(intptr_t)argument;
    int master, told[2];
    unsigned char got = 0;
    SAME(pipe(told), 0);
    pid_t leader = forkpty(&master, NULL, NULL, NULL);
    if (leader == 0) lead_session(way, told[1]);
    CHECK(leader > 0);
    if (way == STOPS) {
        SAME(read(told[0], &got, 1), 1);
        SAME(got, 's');
        sleep_ms(50);
        SAME(write(master, "line\n", 5), 5);
    }
    SAME(read(told[0], &got, 1), 1);
    if (way == STOPS) SAME(got, 105);
    if (way != STOPS) SAME(got, EIO);
    SAME(kill(leader, SIGKILL), 0);
    SAME(waitpid(leader, NULL, 0), leader);
    SAME(close(master), 0);
    SAME(close(told[0]), 0);
    SAME(close(told[1]), 0);
    say("%s: %s", names[way], way == STOPS ? "a line, once continued" : "EIO");
    return NULL;
}

int main(void) {
    for (intptr_t way = STOPS; way < WAYS; way++) join(start(try_way, (void*)way));
    return 0;
}
