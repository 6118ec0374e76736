/* Waits that no descriptor announces, cut short by a signal handler or by a cancellation: file
 * locks, System V and POSIX queues, semaphores, opening a FIFO, splice. With SA_RESTART each is
 * made again or fails with EINTR as signal(7) says; a cancelled one has taken nothing.
 *
 * PARITY: switches=20 threads=20 offloaded=20 kernel_threads=40 */
#include "parity.h"

#include <mqueue.h>
#include <sys/file.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>

static const char* const names[] = {"flock",      "F_SETLKW",   "msgrcv",  "msgsnd", "semop",
                                    "semtimedop", "mq_receive", "mq_send", "open",   "splice"};
enum { kinds = 10 };
static int file, held, queue, full_queue, semaphores, pipe_ends[2], out_pipe[2];
static mqd_t empty, full;
static volatile int handled, returned;
static int error_seen;

static void handler(int signal) {
    (void)signal;
    ++handled;
}

static long make_call(int kind) {
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1};
    struct {
        long type;
        char text[8];
    } m = {1, "text"};
    struct sembuf down = {0, -1, 0};
    struct timespec minute = {60, 0};
    char text[64] = "x";
    switch (kind) {
        case 0:
            return flock(file, LOCK_EX);
        case 1:
            return fcntl(file, F_OFD_SETLKW, &lock);
        case 2:
            return msgrcv(queue, &m, sizeof m.text, 0, 0);
        case 3:
            return msgsnd(full_queue, &m, sizeof m.text, 0);
        case 4:
            return semop(semaphores, &down, 1);
        case 5:
            return semtimedop(semaphores, &down, 1, &minute);
        case 6:
            return mq_receive(empty, text, sizeof text, NULL);
        case 7:
            return mq_send(full, text, 1, 0);
        case 8:
            return open("fifo", O_RDONLY);
        default:
            return splice(pipe_ends[0], NULL, out_pipe[1], NULL, 10, 0);
    }
}

static void* wait_here(void* argument) {
    long result = make_call((int)(intptr_t)argument);
    error_seen = result < 0 ? errno : 0;
    returned = 1;
    return NULL;
}

static void install(int flags) {
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags};
    SAME(sigaction(SIGUSR1, &action, NULL), 0);
}

static pthread_t begin(int kind) {
    pthread_t thread;
    handled = returned = 0;
    SAME(pthread_create(&thread, NULL, wait_here, (void*)(intptr_t)kind), 0);
    sleep_ms(30);
    CHECK(!returned);
    return thread;
}

static void interrupt(int kind, int flags) {
    install(flags);
    pthread_t thread = begin(kind);
    SAME(pthread_kill(thread, SIGUSR1), 0);
    while (!handled) sleep_ms(1);
    sleep_ms(20);
    if (returned) {
        say("%s, %s: %s", names[kind], flags != 0 ? "SA_RESTART" : "no flags",
            parity_errno_name(error_seen));
        SAME(pthread_join(thread, NULL), 0);
        return;
    }
    say("%s, %s: goes on", names[kind], flags != 0 ? "SA_RESTART" : "no flags");
    install(0); /* whether or not it is a cancellation point */
    SAME(pthread_kill(thread, SIGUSR1), 0);
    SAME(pthread_join(thread, NULL), 0);
}

static void cancel(int kind) {
    void* result;
    pthread_t thread = begin(kind);
    SAME(pthread_cancel(thread), 0);
    sleep_ms(20);
    if (kind == 0 || kind == 4 || kind == 5) { /* no cancellation points */
        CHECK(!returned);
        SAME(pthread_kill(thread, SIGUSR1), 0);
    }
    SAME(pthread_join(thread, &result), 0);
    say("%s: %s", names[kind], result == PTHREAD_CANCELED ? "cancelled" : "returned");
}

static void prepare(void) {
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1};
    struct mq_attr small = {.mq_maxmsg = 1, .mq_msgsize = 16};
    char name[64];
    struct {
        long type;
        char text[8];
    } m = {1, "text"};
    file = open("locked", O_RDWR | O_CREAT, 0600);
    held = open("locked", O_RDWR);
    SAME(flock(held, LOCK_EX), 0);
    SAME(fcntl(held, F_OFD_SETLK, &lock), 0);
    queue = msgget(IPC_PRIVATE, 0600);
    full_queue = msgget(IPC_PRIVATE, 0600);
    while (msgsnd(full_queue, &m, sizeof m.text, IPC_NOWAIT) == 0) continue;
    semaphores = semget(IPC_PRIVATE, 1, 0600);
    CHECK(queue >= 0 && full_queue >= 0 && semaphores >= 0);
    snprintf(name, sizeof name, "/parity-interrupted-%d", getpid());
    empty = mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, &small);
    CHECK(empty >= 0);
    SAME(mq_unlink(name), 0);
    full = mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, &small);
    CHECK(full >= 0);
    SAME(mq_unlink(name), 0);
    SAME(mq_send(full, "x", 1, 0), 0);
    SAME(mkfifo("fifo", 0600), 0);
    SAME(pipe(pipe_ends), 0);
    SAME(pipe(out_pipe), 0);
}

int main(void) {
    prepare();
    for (int kind = 0; kind < kinds; ++kind) {
        interrupt(kind, 0);
        interrupt(kind, SA_RESTART);
    }
    for (int kind = 0; kind < kinds; ++kind) cancel(kind);
    msgctl(queue, IPC_RMID, NULL);
    msgctl(full_queue, IPC_RMID, NULL);
    semctl(semaphores, 0, IPC_RMID);
    return 0;
}
