/* A call that waits in the kernel with no descriptor comes back while the whole process stands
 * still for much longer than that: here in vfork, whose child opens the other end of a FIFO and
 * takes its time to end. The thread that opened the first end goes on afterwards.
 *
 * PARITY: switches=5 threads=2 offloaded=1 kernel_threads=2 timeout=20 */
#include "parity.h"

static const char* const path = "fifo";

static void* open_reader(void* argument) {
    (void)argument;
    int fd = open(path, O_RDONLY);
    CHECK(fd >= 0);
    SAME(close(fd), 0);
    return NULL;
}

__attribute__((noinline)) static pid_t open_writer_slowly(void) {
    pid_t child = vfork();
    CHECK(child >= 0);
    if (child != 0) return child;
    int fd = open(path, O_WRONLY);
    usleep(300000);
    _exit(fd >= 0 ? 0 : 1);
}

int main(void) {
    int status;
    SAME(mkfifo(path, 0600), 0);
    start_ticking();
    for (int round = 0; round < 2; round++) {
        pthread_t reader = start(open_reader, NULL);
        wait_ticks(20); /* it is waiting */
        pid_t child = open_writer_slowly();
        SAME(waitpid(child, &status, 0), child);
        SAME(status, 0);
        join(reader);
        say("opened");
    }
    stop_ticking();
    SAME(unlink(path), 0);
    return 0;
}
