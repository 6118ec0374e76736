/* exit(2) by syscall(2), which ends one thread and runs nothing: of a thread, which can be joined,
 * and of all, the first one too: then the last one's status is the process's (since Linux 5.17).
 *
 * PARITY: switches=4 threads=2 status=6 */
#include <sys/syscall.h>

#include "thread.h"

static void* leave(void* arg) {
    syscall(SYS_exit, 3);
    return arg;
}

static void* outlive(void* arg) {
    nap(50);
    puts("the others go on");
    fflush(stdout);
    syscall(SYS_exit, 6);
    return arg;
}

static void at_exit(void) { puts("never"); }

int main(void) {
    pthread_t thread = spawn(leave, NULL);
    finish(thread);
    puts("joined");
    fflush(stdout);
    atexit(at_exit);
    spawn(outlive, NULL);
    syscall(SYS_exit, 5);
    return 0;
}
