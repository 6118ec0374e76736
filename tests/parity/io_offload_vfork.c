/* Children of vfork(2) set their ids before they execute, while threads of their parent make calls
 * that take a while, more of them than are made at once.
 *
 * PARITY: switches=1000 threads=40 offloaded=1000 */
#include "thread.h"

enum { threads = 40, times = 25 };
static int at_work = threads;

static void* sync_file(void* argument) {
    FILE* file = tmpfile();
    CHECK(file != NULL);
    for (int i = 0; i < times; i++) {
        CHECK(fputc(i, file) == i && fflush(file) == 0);
        CHECK(fsync(fileno(file)) == 0);
    }
    CHECK(fclose(file) == 0);
    __atomic_sub_fetch(&at_work, 1, __ATOMIC_SEQ_CST);
    return argument;
}

static int child_with_same_ids(void) {
    pid_t child = vfork();
    CHECK(child >= 0);
    if (child == 0) {
        int kept = setgid(getgid()) == 0 && setuid(getuid()) == 0;
        execl("/bin/sh", "sh", "-c", kept ? "exit 4" : "exit 5", NULL);
        _exit(6);
    }
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

int main(void) {
    pthread_t syncers[threads];
    alarm(60);
    for (int i = 0; i < threads; i++) syncers[i] = spawn(sync_file, NULL);
    do {
        CHECK(child_with_same_ids() == 4);
    } while (__atomic_load_n(&at_work, __ATOMIC_SEQ_CST) > 0);
    for (int i = 0; i < threads; i++) finish(syncers[i]);
    puts("synced");
    return 0;
}
