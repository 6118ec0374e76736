/* A signal handler forks, and the child returns from it: into the call that the signal has
 * interrupted, a read that waited, and into the program's own code. Its mask is what it was.
 *
 * PARITY: switches=2 threads=1 */
#include "parity.h"

static int ends[2];
static volatile pid_t forked;

static void make_child(int number) {
    (void)number;
    forked = fork();
    CHECK(forked >= 0);
}

static void check_mask(void) {
    sigset_t mask;
    FILE* file = fopen("/proc/self/status", "r");
    char line[200];
    unsigned long long blocked = 0;
    CHECK(file != NULL);
    while (fgets(line, sizeof line, file) != NULL) sscanf(line, "SigBlk: %llx", &blocked);
    fclose(file);
    SAME(pthread_sigmask(SIG_BLOCK, NULL, &mask), 0);
    CHECK(sigismember(&mask, SIGUSR2) == 1 && sigismember(&mask, SIGUSR1) == 0);
    if (forked == 0) SAME(blocked, 1ULL << (SIGUSR2 - 1));
}

static void* signal_soon(void* first) {
    sleep_ms(50);
    SAME(pthread_kill(*(pthread_t*)first, SIGUSR1), 0);
    return NULL;
}

static void* nothing(void* argument) { return argument; }

static void child_ends_with(int wanted) {
    int status;
    check_mask();
    if (forked == 0) {
        join(start(nothing, NULL));
        _exit(wanted);
    }
    SAME(waitpid(forked, &status, 0), forked);
    SAME(WIFEXITED(status) ? WEXITSTATUS(status) : -1, wanted);
}

int main(void) {
    struct sigaction action = {.sa_handler = make_child};
    pthread_t me = pthread_self();
    sigset_t set;
    char byte;
    SAME(sigaction(SIGUSR1, &action, NULL), 0);
    SAME(pipe(ends), 0);
    pthread_t sender = start(signal_soon, &me);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    SAME(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);

    FAILS(read(ends[0], &byte, 1), EINTR);
    child_ends_with(3);
    say("both have left the read");
    SAME(raise(SIGUSR1), 0);
    child_ends_with(4);
    say("and a raise");
    join(sender);
    sender = start(signal_soon, &me);
    forked = -1;
    while (forked < 0) {
    }
    child_ends_with(5);
    say("and a loop");
    join(sender);
    return 0;
}
