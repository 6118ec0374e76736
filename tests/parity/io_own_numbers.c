/* What the library opens for a wait is not there for the program: while threads wait for a child
 * and for signals, the next descriptor has the lowest free number; a program that closes every
 * number but its own closes nothing and no wait ends by it; nor does one close a number that the
 * program has used since; a child has none of them; and all these waits work with no descriptor
 * left.
 *
 * PARITY: switches=20 threads=7 */
#include "parity.h"

#include <sys/resource.h>

enum { MOST = 256 };

static long waiting;
static pid_t child;

static void* wait_for_child(void* argument) {
    int status;
    add_to(&waiting, 1);
    SAME(waitpid(child, &status, 0), child);
    SAME(WEXITSTATUS(status), 3);
    return argument;
}

static void* wait_for_signal(void* argument) {
    sigset_t set;
    int number = 0;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    add_to(&waiting, 1);
    SAME(sigwait(&set, &number), 0);
    SAME(number, SIGUSR1);
    return argument;
}

static void* wait_for_some_time(void* argument) {
    sigset_t set;
    struct timespec limit = {100, 0};
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    add_to(&waiting, 1);
    SAME(sigtimedwait(&set, NULL, &limit), SIGUSR2);
    return argument;
}

/* A child that ends when the descriptor returned is closed. */
static int make_child(void) {
    int ends[2];
    char byte;
    SAME(pipe(ends), 0);
    child = fork();
    if (child == 0) {
        SAME(close(ends[1]), 0);
        SAME(read(ends[0], &byte, 1), 0);
        _exit(3);
    }
    SAME(close(ends[0]), 0);
    return ends[1];
}

static void begin(pthread_t threads[3]) {
    set_to(&waiting, 0);
    threads[0] = start(wait_for_child, NULL);
    threads[1] = start(wait_for_signal, NULL);
    threads[2] = start(wait_for_some_time, NULL);
    wait_for(&waiting, 3);
    wait_ticks(10);
}

static void end(pthread_t threads[3], int end_of_child) {
    SAME(close(end_of_child), 0);
    SAME(kill(getpid(), SIGUSR1), 0);
    SAME(kill(getpid(), SIGUSR2), 0);
    for (int i = 0; i < 3; i++) join(threads[i]);
}

/* How many descriptors there are below the limit, beside the standard ones. */
static int count_open(int limit) {
    int count = 0;
    for (int fd = 3; fd < limit; fd++) count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

int main(void) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGUSR2);
    SAME(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
    struct rlimit limit;
    SAME(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = MOST;
    SAME(setrlimit(RLIMIT_NOFILE, &limit), 0);
    start_ticking();

    pthread_t threads[3];
    int end_of_child = make_child(), numbers[8];
    begin(threads);
    int next = open("/dev/null", O_RDONLY);
    say("the next number is %d, where %d was the last", next, end_of_child);
    SAME(close(next), 0);
    SAME(count_open(MOST), 1);
    pid_t other = fork();
    if (other == 0) {
        SAME(count_open(4096), 1);
        _exit(0);
    }
    SAME(waitpid(other, NULL, 0), other);
    for (int fd = 3; fd < MOST; fd++)
        if (fd != end_of_child) FAILS(close(fd), EBADF);
    for (int i = 0; i < 8; i++) CHECK((numbers[i] = open("/dev/null", O_RDONLY)) >= 0);
    end(threads, end_of_child);
    for (int i = 0; i < 8; i++) SAME(close(numbers[i]), 0);
    say("waits outlive the closing of all numbers");

    end_of_child = make_child();
    int first = open("/dev/null", O_RDONLY), last = first;
    for (int fd = first; fd >= 0; fd = open("/dev/null", O_RDONLY)) last = fd;
    SAME(errno, EMFILE);
    SAME(last, MOST - 1);
    begin(threads);
    end(threads, end_of_child);
    SAME(close(last), 0);
    say("waits need no descriptor");
    stop_ticking();
    return 0;
}
