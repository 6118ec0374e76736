/* One listener, three processes, all waiting on it: a connection wakes several and one gets it. The
 * losers wait again, and in none of them may the other threads stand still: each process counts its
 * ticks while it waits, and ends when told by a byte on a pipe.
 *
 * PARITY: switches=20 threads=1 */
#include "parity.h"

enum { CONNECTIONS = 1000, PROCESSES = 3 };

static int listener, results[2];

static void* accept_loop(void* argument) {
    (void)argument;
    for (;;) {
        int fd = accept(listener, NULL, NULL);
        if (fd < 0) {
            SAME(errno, EINVAL); /* shut down: the end */
            return NULL;
        }
        pid_t self = getpid();
        SAME(write(fd, &self, sizeof self), sizeof self);
        SAME(close(fd), 0);
    }
}

/* Accepts in a thread; the ticks go on although the accepting thread waits in vain. */
static void serve(void) {
    start_ticking();
    pthread_t thread = start(accept_loop, NULL);
    wait_ticks(100);
    char done = 'd';
    SAME(write(results[1], &done, 1), 1);
    join(thread);
    wait_ticks(1);
    stop_ticking();
}

int main(void) {
    listener = tcp_listen(64);
    SAME(pipe(results), 0);
    pid_t children[PROCESSES];
    for (int i = 0; i < PROCESSES; i++) {
        children[i] = fork();
        CHECK(children[i] >= 0);
        if (children[i] == 0) {
            serve();
            exit(0);
        }
    }
    start_ticking();
    int served = 0;
    for (int i = 0; i < CONNECTIONS; i++) {
        int fd = tcp_connect(port_of(listener)), known = 0;
        pid_t by = 0;
        SAME(read_all(fd, &by, sizeof by), sizeof by);
        for (int j = 0; j < PROCESSES; j++) known += children[j] == by;
        served += known;
        SAME(close(fd), 0);
        if (i % 250 == 0) wait_ticks(3);
    }
    char done[PROCESSES];
    SAME(read_all(results[0], done, PROCESSES), PROCESSES);
    say("%d connections served, ticks everywhere", served);
    SAME(shutdown(listener, SHUT_RDWR), 0);
    for (int i = 0; i < PROCESSES; i++) {
        int status = -1;
        SAME(waitpid(children[i], &status, 0), children[i]);
        SAME(status, 0);
    }
    say("all processes ended");
    stop_ticking();
    return 0;
}
