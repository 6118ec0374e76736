/* A child that was made by number, before there were threads, has the listener too, and may take
 * the connection that woke this process's accept: that one waits on, and stops nobody meanwhile.
 *
 * PARITY: switches=20 threads=1 */
#include "parity.h"

#include <sys/syscall.h>

enum { CONNECTIONS = 1000 };

static int listener;

static void* accept_loop(void* argument) {
    for (;;) {
        int fd = accept(listener, NULL, NULL);
        if (fd < 0) {
            SAME(errno, EINVAL); /* shut down: the end */
            return argument;
        }
        char byte = 'x';
        SAME(write(fd, &byte, 1), 1);
        SAME(close(fd), 0);
    }
}

int main(void) {
    listener = tcp_listen(64);
    pid_t child = (pid_t)syscall(SYS_fork);
    CHECK(child >= 0);
    if (child == 0) {
        accept_loop(NULL);
        _exit(7);
    }
    start_ticking();
    pthread_t thread = start(accept_loop, NULL);
    for (int i = 0; i < CONNECTIONS; i++) {
        char byte = 0;
        int fd = tcp_connect(port_of(listener));
        SAME(read_all(fd, &byte, 1), 1);
        SAME(close(fd), 0);
        if (i % 250 == 0) wait_ticks(3);
    }
    say("%d connections served", CONNECTIONS);
    SAME(shutdown(listener, SHUT_RDWR), 0);
    int status = -1;
    SAME(waitpid(child, &status, 0), child);
    SAME(WEXITSTATUS(status), 7);
    join(thread);
    stop_ticking();
    return 0;
}
