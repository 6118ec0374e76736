/* posix_spawn(3) of a program whose input is a FIFO: the child opens it before it executes, and
 * waits for a thread of its parent to open the other end.
 *
 * PARITY: switches=2 threads=1 timeout=5 */
#include "parity.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>

extern char** environ;
static char path[] = "fifo";

static void* open_writer(void* unused) {
    (void)unused;
    usleep(50000);
    int fd = open(path, O_WRONLY);
    CHECK(fd >= 0);
    SAME(write(fd, "hello\n", 6), 6);
    SAME(close(fd), 0);
    return NULL;
}

int main(void) {
    SAME(mkfifo(path, 0600), 0);
    pthread_t writer = start(open_writer, NULL);
    posix_spawn_file_actions_t actions;
    SAME(posix_spawn_file_actions_init(&actions), 0);
    SAME(posix_spawn_file_actions_addopen(&actions, 0, path, O_RDONLY, 0), 0);
    char name[] = "cat";
    char* arguments[] = {name, NULL};
    pid_t child;
    SAME(posix_spawnp(&child, name, &actions, NULL, arguments, environ), 0);
    int status = -1;
    SAME(waitpid(child, &status, 0), child);
    SAME(status, 0);
    SAME(pthread_join(writer, NULL), 0);
    return 0;
}
