/* A signal that was sent before the call it meets could end is handled before that call returns,
 * whatever it returns: poll, ppoll, select, pselect, epoll_wait and epoll_pwait that find a byte,
 * waitpid and waitid that find the child whose SIGCHLD came with it. What only the mask of ppoll
 * lets in stays pending when there is a byte to tell of.
 *
 * PARITY: switches=100 threads=8
 */
#include "parity.h"

#include <sys/epoll.h>

static int pipe_ends[2];
static long waiting;
static volatile sig_atomic_t handled;

static void count(int number) {
    (void)number;
    handled++;
}

static int wait_for_byte(int way) {
    struct pollfd one = {pipe_ends[0], POLLIN, 0};
    struct epoll_event event = {EPOLLIN, {0}};
    fd_set in;
    FD_ZERO(&in);
    FD_SET(pipe_ends[0], &in);
    int set = epoll_create1(EPOLL_CLOEXEC);
    SAME(epoll_ctl(set, EPOLL_CTL_ADD, pipe_ends[0], &event), 0);
    int r = -1;
    set_to(&waiting, 1);
    if (way == 0) r = poll(&one, 1, -1);
    if (way == 1) r = ppoll(&one, 1, NULL, NULL);
    if (way == 2) r = select(pipe_ends[0] + 1, &in, NULL, NULL, NULL);
    if (way == 3) r = pselect(pipe_ends[0] + 1, &in, NULL, NULL, NULL, NULL);
    if (way == 4) r = epoll_wait(set, &event, 1, -1);
    if (way == 5) r = epoll_pwait(set, &event, 1, -1, NULL);
    int seen = handled;
    SAME(close(set), 0);
    CHECK(r == 1 || (r == -1 && errno == EINTR));
    return seen;
}

static void* wait_and_look(void* argument) {
    SAME(wait_for_byte((int)(intptr_t)argument), 1);
    return NULL;
}

static void* let_in_for_call(void* argument) {
    struct pollfd one = {pipe_ends[0], POLLIN, 0};
    sigset_t all, none;
    (void)argument;
    sigfillset(&all);
    sigemptyset(&none);
    SAME(pthread_sigmask(SIG_SETMASK, &all, NULL), 0);
    SAME(raise(SIGUSR1), 0);
    SAME(ppoll(&one, 1, NULL, &none), 1);
    SAME(handled, 0);
    SAME(pthread_sigmask(SIG_SETMASK, &none, NULL), 0);
    SAME(handled, 1);
    return NULL;
}

int main(void) {
    struct sigaction action = {.sa_handler = count, .sa_flags = SA_RESTART};
    SAME(sigaction(SIGUSR1, &action, NULL), 0);
    SAME(sigaction(SIGCHLD, &action, NULL), 0);
    SAME(pipe(pipe_ends), 0);
    start_ticking();
    for (int way = 0; way < 6; way++) {
        char byte;
        handled = 0;
        set_to(&waiting, 0);
        pthread_t thread = start(wait_and_look, (void*)(intptr_t)way);
        wait_for(&waiting, 1);
        wait_ticks(10);
        SAME(pthread_kill(thread, SIGUSR1), 0);
        SAME(write(pipe_ends[1], "x", 1), 1);
        join(thread);
        SAME(read(pipe_ends[0], &byte, 1), 1);
    }
    say("handled before the waits for a byte return");

    handled = 0;
    SAME(write(pipe_ends[1], "x", 1), 1);
    join(start(let_in_for_call, NULL));
    say("a byte that is there keeps ppoll's mask from letting in");

    for (int round = 0; round < 200; round++) {
        siginfo_t info;
        handled = 0;
        pid_t child = fork();
        if (child == 0) {
            usleep(round % 8 * 300);
            _exit(0);
        }
        if (round % 2 == 0) {
            SAME(waitpid(child, NULL, 0), child);
        } else {
            SAME(waitid(P_PID, (id_t)child, &info, WEXITED), 0);
        }
        SAME(handled, 1);
    }
    say("handled before the waits for a child return");
    stop_ticking();
    return 0;
}
