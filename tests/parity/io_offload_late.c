/* A call that a helper makes is over long before its process gets to look: here because vfork(2)
 * holds the caller, elsewhere because the machine is busy. The result waits for whoever asked, also
 * when the helper has left meanwhile.
 *
 * PARITY: offloaded=3 timeout=20
 */
#include "parity.h"

#include <sys/mman.h>

static void* sync_file(void* fd) {
    SAME(fsync(*(int*)fd), 0);
    return NULL;
}

/* Nobody of this process runs until the child has ended. */
static void stand_still(void) {
    pid_t child = vfork();
    if (child == 0) {
        usleep(200000);
        _exit(0);
    }
    SAME(waitpid(child, NULL, 0), child);
}

int main(void) {
    int fd = memfd_create("file", MFD_CLOEXEC);
    CHECK(fd >= 0);
    for (int i = 0; i < 3; ++i) {
        pthread_t thread = start(sync_file, &fd);
        sched_yield();
        stand_still();
        join(thread);
        say("synchronised");
    }
    return 0;
}
