/* Time-outs that are no times, given to calls that need not wait: a message queue and a System V
 * semaphore refuse them all the same, while a POSIX semaphore and a mutex look at them first or
 * last as glibc does.
 *
 * PARITY: threads=1
 */
#include "thread.h"

#include <fcntl.h>
#include <mqueue.h>
#include <sys/ipc.h>
#include <sys/sem.h>

static const struct timespec no_times[] = {{0, -1}, {0, 1000000000}, {-1, 0}};
enum { kinds = sizeof no_times / sizeof no_times[0] };

static void* ask(void* unused) {
    char name[40], text[8] = "text";
    snprintf(name, sizeof name, "/parity-%d", (int)getpid());
    struct mq_attr attributes = {.mq_maxmsg = 2, .mq_msgsize = sizeof text};
    mqd_t queue = mq_open(name, O_CREAT | O_EXCL | O_RDWR, 0600, &attributes);
    CHECK(queue >= 0);
    CHECK(mq_unlink(name) == 0);
    CHECK(mq_send(queue, text, 1, 0) == 0);
    int set = semget(IPC_PRIVATE, 1, 0600);
    CHECK(set >= 0);
    struct sembuf up = {0, 1, 0};
    pthread_mutex_t errorcheck;
    pthread_mutexattr_t checks;
    CHECK(pthread_mutexattr_init(&checks) == 0);
    CHECK(pthread_mutexattr_settype(&checks, PTHREAD_MUTEX_ERRORCHECK) == 0);
    CHECK(pthread_mutex_init(&errorcheck, &checks) == 0);
    sem_t semaphore;
    CHECK(sem_init(&semaphore, 0, 1) == 0);
    for (int i = 0; i < kinds; i++) {
        struct timespec time = no_times[i];
        printf("%ld.%ld\n", (long)time.tv_sec, time.tv_nsec);
        SHOW(mq_timedreceive(queue, text, sizeof text, NULL, &time));
        SHOW(mq_timedsend(queue, text, 1, 0, &time));
        SHOW(semtimedop(set, &up, 1, &time));
        SHOW(pthread_mutex_timedlock(&errorcheck, &time));
        SHOW(pthread_mutex_timedlock(&errorcheck, &time));
        SHOW(pthread_mutex_unlock(&errorcheck));
        SHOW(sem_timedwait(&semaphore, &time));
        CHECK(sem_destroy(&semaphore) == 0 && sem_init(&semaphore, 0, 1) == 0);
    }
    CHECK(mq_getattr(queue, &attributes) == 0);
    SHOW_LONG(attributes.mq_curmsgs);
    SHOW_LONG(semctl(set, 0, GETVAL));
    CHECK(semctl(set, 0, IPC_RMID) == 0);
    CHECK(mq_close(queue) == 0);
    return unused;
}

int main(void) {
    finish(spawn(ask, NULL));
    return 0;
}
