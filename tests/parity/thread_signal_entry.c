/* A signal arrives while libc computes, and the program looks whether its handler has run before it
 * makes a call that waits: it has, or else the call ends by EINTR. A server's "while (!stopped)
 * accept()" would miss its end otherwise.
 *
 * PARITY: switches=2 threads=1
 */
#include "thread.h"

#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/time.h>

enum { size = 64 << 20 };
static volatile sig_atomic_t handled;
static char* memory;

static void handle(int number) {
    (void)number;
    handled = 1;
}

static void* wait_for_end(void* pipe) {
    char byte;
    CHECK(read(*(int*)pipe, &byte, 1) == 0);
    return NULL;
}

static void in_rounds(const char* what, int fd) {
    for (int i = 0; i < 4; i++) {
        struct itimerval soon = {{0, 0}, {0, 2000}};
        char byte;
        handled = 0;
        CHECK(setitimer(ITIMER_REAL, &soon, NULL) == 0);
        memset(memory, i, size);
        if (!handled) {
            int r = what[0] == 'a' ? accept(fd, NULL, NULL) : (int)read(fd, &byte, 1);
            CHECK(r == -1 && errno == EINTR);
        }
        CHECK(handled);
    }
    printf("%s: no signal was missed\n", what);
}

int main(void) {
    int end[2], empty[2], pair[2], listener = socket(AF_INET, SOCK_STREAM, 0);
    struct sigaction action = {.sa_handler = handle};
    sigset_t alarms;
    pthread_t thread;
    memory = malloc(size);
    CHECK(memory != NULL && pipe(end) == 0 && pipe(empty) == 0 && listen(listener, 1) == 0);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    CHECK(sigaction(SIGALRM, &action, NULL) == 0);
    sigemptyset(&alarms);
    sigaddset(&alarms, SIGALRM);
    CHECK(pthread_sigmask(SIG_BLOCK, &alarms, NULL) == 0);
    CHECK(pthread_create(&thread, NULL, wait_for_end, &end[0]) == 0);
    CHECK(pthread_sigmask(SIG_UNBLOCK, &alarms, NULL) == 0);
    memset(memory, 1, size);
    in_rounds("accept", listener);
    in_rounds("read from a pipe", empty[0]);
    in_rounds("read from a socket", pair[0]);
    close(end[1]);
    CHECK(pthread_join(thread, NULL) == 0);
    return 0;
}
