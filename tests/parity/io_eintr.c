/* A signal ends a waiting call of the main thread with EINTR, or lets it go on where SA_RESTART
 * says so and the call knows how to; poll, select, sleeps and calls under SO_RCVTIMEO never go on.
 * The sleeps say what remains. The signal comes from another thread, sent to the process while all
 * the others have it blocked.
 *
 * PARITY: switches=20 threads=10 */
#include "parity.h"

static long handled;
static int ends[2], pair[2];

static void handler(int number) {
    SAME(number, SIGUSR1);
    add_to(&handled, 1);
}

static void handle(int flags) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = handler;
    action.sa_flags = flags;
    SAME(sigaction(SIGUSR1, &action, NULL), 0);
}

/* Sends the signal, and sends it again if it came before the main thread waited. */
static void* signal_until_told(void* argument) {
    long* told = (long*)argument;
    do {
        wait_ticks(5);
        SAME(kill(getpid(), SIGUSR1), 0);
        wait_ticks(30);
    } while (!value_of(told));
    return NULL;
}

static void* signal_then_write(void* argument) {
    wait_ticks(10);
    SAME(kill(getpid(), SIGUSR1), 0);
    wait_for((long*)argument, 1);
    wait_ticks(10);
    SAME(write(ends[1], "x", 1), 1);
    SAME(write(pair[1], "x", 1), 1);
    return NULL;
}

/* The senders are started while the signal is blocked: a thread inherits its maker's mask. A signal
 * sent once too often stays pending and is taken at the end. */
#define INTERRUPTED(call)                                            \
    do {                                                             \
        long told = 0;                                               \
        pthread_t thread = start(signal_until_told, &told);          \
        SAME(pthread_sigmask(SIG_UNBLOCK, &usr1, NULL), 0);          \
        FAILS(call, EINTR);                                          \
        SAME(pthread_sigmask(SIG_BLOCK, &usr1, NULL), 0);            \
        set_to(&told, 1);                                            \
        join(thread);                                                \
        CHECK(value_of(&handled) >= 1);                              \
        set_to(&handled, 0);                                         \
        sigset_t pending;                                            \
        sigpending(&pending);                                        \
        if (sigismember(&pending, SIGUSR1)) sigwait(&usr1, &status); \
    } while (0)

int main(void) {
    sigset_t usr1;
    sigemptyset(&usr1);
    sigaddset(&usr1, SIGUSR1);
    SAME(pthread_sigmask(SIG_BLOCK, &usr1, NULL), 0);
    start_ticking();
    SAME(pipe(ends), 0);
    unix_pair(pair);
    char byte;
    struct pollfd one = {ends[0], POLLIN, 0};
    struct timespec pause, rest;
    int listener = tcp_listen(1), status;

    handle(0);
    INTERRUPTED(read(ends[0], &byte, 1));
    INTERRUPTED(recv(pair[0], &byte, 1, 0));
    INTERRUPTED(accept(listener, NULL, NULL));
    INTERRUPTED(poll(&one, 1, -1));
    INTERRUPTED(select(0, NULL, NULL, NULL, NULL));
    say("without SA_RESTART");
    handle(SA_RESTART);
    INTERRUPTED(poll(&one, 1, 100000));
    INTERRUPTED(select(0, NULL, NULL, NULL, NULL));
    pause = timespec_ms(100000);
    INTERRUPTED(nanosleep(&pause, &rest));
    CHECK(rest.tv_sec >= 90 && rest.tv_sec < 100);
    INTERRUPTED(usleep(100000000));
    INTERRUPTED((errno = clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, &rest)) ? -1 : 0);
    CHECK(rest.tv_sec >= 90 && rest.tv_sec < 100);
    INTERRUPTED((int)sleep(100) > 90 ? (errno = EINTR, -1) : 0);
    struct timeval wait = timeval_ms(100000);
    SAME(setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait), 0);
    INTERRUPTED(recv(pair[0], &byte, 1, 0));
    wait.tv_sec = 0;
    SAME(setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait), 0);
    say("in spite of SA_RESTART");

    for (int i = 0; i < 2; i++) {
        pthread_t thread = start(signal_then_write, &handled);
        SAME(pthread_sigmask(SIG_UNBLOCK, &usr1, NULL), 0);
        SAME(i ? recv(pair[0], &byte, 1, 0) : read(ends[0], &byte, 1), 1);
        SAME(pthread_sigmask(SIG_BLOCK, &usr1, NULL), 0);
        join(thread);
        SAME(i ? read(ends[0], &byte, 1) : recv(pair[0], &byte, 1, 0), 1);
        SAME(value_of(&handled), 1);
        set_to(&handled, 0);
    }
    say("SA_RESTART: goes on");
    stop_ticking();
    return 0;
}
