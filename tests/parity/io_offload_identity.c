/* Who gives up root opens nothing as root any more, whatever other threads were doing for it just
 * before: a FIFO that only root may open, right after an fsync, and while another thread waits for
 * a lock. Without root there is nothing to give up.
 *
 * PARITY: switches=4 threads=3 offloaded=3 kernel_threads=9 */
#include "thread.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

static int held, waits_for;
static sem_t synced;

static void* wait_for_lock(void* argument) {
    CHECK(flock(waits_for, LOCK_EX) == 0);
    return argument;
}

static void* sync_file(void* argument) {
    CHECK(fsync(held) == 0);
    sem_post(&synced);
    return argument;
}

static void* open_fifo(void* argument) {
    int fd = open("fifo", O_RDONLY);
    printf("the fifo: %s\n", result_name(fd < 0 ? -1 : 0));
    return argument;
}

int main(void) {
    char folder[] = "/tmp/parity-identity-XXXXXX";
    pthread_t waiter, syncer, opener;
    CHECK(mkdtemp(folder) != NULL && chmod(folder, 0755) == 0 && chdir(folder) == 0);
    held = open("lock", O_CREAT | O_RDWR, 0600);
    waits_for = open("lock", O_RDWR);
    CHECK(held >= 0 && waits_for >= 0 && mkfifo("fifo", 0000) == 0);
    CHECK(flock(held, LOCK_EX) == 0);
    sem_init(&synced, 0, 0);
    CHECK(pthread_create(&waiter, NULL, wait_for_lock, NULL) == 0);
    usleep(20000);
    CHECK(pthread_create(&syncer, NULL, sync_file, NULL) == 0);
    CHECK(sem_wait(&synced) == 0);
    int root = geteuid() == 0;
    CHECK(!root || seteuid(65534) == 0);
    alarm(20); /* an open that is allowed waits for a writer */
    CHECK(pthread_create(&opener, NULL, open_fifo, NULL) == 0);
    CHECK(pthread_join(opener, NULL) == 0);
    CHECK(flock(held, LOCK_UN) == 0);
    CHECK(pthread_join(waiter, NULL) == 0 && pthread_join(syncer, NULL) == 0);
    CHECK(!root || seteuid(0) == 0);
    CHECK(fsync(held) == 0);
    CHECK(unlink("fifo") == 0 && unlink("lock") == 0 && rmdir(folder) == 0);
    return 0;
}
