/* Sixty threads wait for a lock that another process holds. Nobody waits because of them: files are
 * still synchronised, and the one who can let them go still can.
 *
 * PARITY: switches=60 threads=61 offloaded=60 kernel_threads=90 */
#include "parity.h"

#include <sys/file.h>
#include <sys/ipc.h>
#include <sys/sem.h>

enum { threads = 60 };
static int semaphore;
static int through;

static void* wait_here(void* unused) {
    struct sembuf down = {0, -1, 0};
    SAME(semop(semaphore, &down, 1), 0);
    __atomic_add_fetch(&through, 1, __ATOMIC_SEQ_CST);
    return unused;
}

static void* let_go(void* unused) {
    struct sembuf up = {0, threads, 0};
    int file = open("file", O_RDWR | O_CREAT, 0600);
    SAME(write(file, "text", 4), 4);
    SAME(fsync(file), 0);
    say("synchronised while %d wait", threads - through);
    SAME(semop(semaphore, &up, 1), 0);
    return unused;
}

int main(void) {
    pthread_t waiting[threads], last;
    semaphore = semget(IPC_PRIVATE, 1, 0600);
    CHECK(semaphore >= 0);
    for (int i = 0; i < threads; ++i) SAME(pthread_create(&waiting[i], NULL, wait_here, NULL), 0);
    sleep_ms(100);
    SAME(pthread_create(&last, NULL, let_go, NULL), 0);
    for (int i = 0; i < threads; ++i) SAME(pthread_join(waiting[i], NULL), 0);
    SAME(pthread_join(last, NULL), 0);
    say("%d went on", through);
    semctl(semaphore, 0, IPC_RMID);
    return 0;
}
