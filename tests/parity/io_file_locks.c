/* Waits that no descriptor announces: file locks of three kinds, System V queues and semaphores,
 * POSIX queues. A child holds or empties what a thread of the parent waits for; meanwhile the other
 * threads must tick, which the child is told through a pipe before it lets go.
 *
 * PARITY: switches=50 threads=6 kernel_threads=17 */
#include "parity.h"

#include <mqueue.h>
#include <sys/file.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>

static int file, queue, semaphores;
static mqd_t posix_queue;
static int go[2];

struct message {
    long type;
    char text[8];
};

static void record_lock(int command, short type) {
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = 0, .l_len = 1};
    SAME(fcntl(file, command, &lock), 0);
}

/* Each kind: how the child takes, how it lets go, how the thread waits. */
static void take(int kind) {
    if (kind == 0) SAME(flock(open("locked", O_RDWR), LOCK_EX), 0);
    if (kind == 1) record_lock(F_SETLK, F_WRLCK);
}

static void let_go(int kind) {
    struct message m = {1, "hello"};
    struct sembuf up = {0, 1, 0};
    if (kind == 1) record_lock(F_SETLK, F_UNLCK);
    if (kind == 2) SAME(msgsnd(queue, &m, sizeof m.text, 0), 0);
    if (kind == 3) SAME(semop(semaphores, &up, 1), 0);
    if (kind == 4) SAME(mq_send(posix_queue, "posix", 6, 0), 0);
}

static void* wait_here(void* argument) {
    struct message m = {0, ""};
    struct sembuf down = {0, -1, 0};
    char text[64];
    switch ((int)(intptr_t)argument) {
        case 0:
            SAME(flock(file, LOCK_EX), 0);
            SAME(flock(file, LOCK_UN), 0);
            break;
        case 1:
            record_lock(F_SETLKW, F_WRLCK);
            record_lock(F_SETLK, F_UNLCK);
            break;
        case 2:
            SAME(msgrcv(queue, &m, sizeof m.text, 0, 0), (long)sizeof m.text);
            CHECK(strcmp(m.text, "hello") == 0);
            break;
        case 3:
            SAME(semop(semaphores, &down, 1), 0);
            break;
        default:
            SAME(mq_receive(posix_queue, text, sizeof text, NULL), 6);
            CHECK(strcmp(text, "posix") == 0);
    }
    return NULL;
}

int main(void) {
    const char* const names[] = {"flock", "fcntl", "msgrcv", "semop", "mq_receive"};
    char name[64], byte;
    start_ticking();
    file = open("locked", O_RDWR | O_CREAT, 0600);
    queue = msgget(IPC_PRIVATE, 0600);
    semaphores = semget(IPC_PRIVATE, 1, 0600);
    snprintf(name, sizeof name, "/parity-%ld", (long)getpid());
    struct mq_attr attr = {.mq_maxmsg = 4, .mq_msgsize = 64};
    posix_queue = mq_open(name, O_RDWR | O_CREAT, 0600, &attr);
    CHECK(file >= 0 && queue >= 0 && semaphores >= 0 && posix_queue != (mqd_t)-1);
    for (int kind = 0; kind < 5; kind++) {
        int taken[2], status;
        SAME(pipe(go), 0);
        SAME(pipe(taken), 0);
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            take(kind);
            SAME(write(taken[1], "t", 1), 1);
            SAME(read(go[0], &byte, 1), 1);
            let_go(kind);
            _exit(0);
        }
        SAME(read(taken[0], &byte, 1), 1);
        pthread_t thread = start(wait_here, (void*)(intptr_t)kind);
        wait_ticks(5);
        SAME(write(go[1], "g", 1), 1);
        join(thread);
        SAME(waitpid(child, &status, 0), child);
        SAME(status, 0);
        close(go[0]), close(go[1]), close(taken[0]), close(taken[1]);
        say("%s: waited, and others ran", names[kind]);
    }
    SAME(fsync(file), 0);
    SAME(fdatasync(file), 0);
    FAILS(fsync(-1), EBADF);
    FAILS(flock(-1, LOCK_EX), EBADF);
    SAME(msgctl(queue, IPC_RMID, NULL), 0);
    SAME(semctl(semaphores, 0, IPC_RMID), 0);
    SAME(mq_unlink(name), 0);
    stop_ticking();
    return 0;
}
