/* What a helper kernel thread does for the caller: synchronisation to disk, draining a terminal,
 * tee and vmsplice on pipes, queues and semaphores with a time-out; with every failure: a time that
 * has passed, one that passes, an interruption before, a bad descriptor, a full and an empty queue.
 *
 * PARITY: switches=40 threads=8 kernel_threads=17 */
#include "parity.h"

#include <mqueue.h>
#include <pty.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <termios.h>

static void disk(void) {
    int fd = open("data", O_RDWR | O_CREAT, 0600);
    CHECK(fd >= 0);
    write_all(fd, "something", 9);
    SAME(fsync(fd), 0);
    SAME(fdatasync(fd), 0);
    SAME(syncfs(fd), 0);
    SAME(sync_file_range(fd, 0, 9, SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER), 0);
    char* memory = (char*)mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(memory != MAP_FAILED);
    memory[0] = 'S';
    SAME(msync(memory, 4096, MS_SYNC), 0);
    SAME(msync(memory, 4096, MS_ASYNC), 0);
    FAILS(msync(memory + 1, 4096, MS_SYNC), EINVAL);
    SAME(munmap(memory, 4096), 0);
    SAME(close(fd), 0);
    SAME(unlink("data"), 0);
    FAILS(fsync(fd), EBADF);
    FAILS(fdatasync(fd), EBADF);
    FAILS(syncfs(fd), EBADF);
    FAILS(sync_file_range(fd, 0, 9, 0), EBADF);
    int pair[2];
    SAME(pipe(pair), 0);
    FAILS(fsync(pair[0]), EINVAL);
    FAILS(sync_file_range(pair[0], 0, 1, SYNC_FILE_RANGE_WRITE), ESPIPE);
    SAME(close(pair[0]), 0);
    SAME(close(pair[1]), 0);
    say("disk");
}

static void terminal(void) {
    int master, slave;
    SAME(openpty(&master, &slave, NULL, NULL, NULL), 0);
    SAME(tcdrain(slave), 0);
    struct termios settings;
    SAME(tcgetattr(slave, &settings), 0);
    SAME(tcsetattr(slave, TCSADRAIN, &settings), 0);
    SAME(close(slave), 0);
    SAME(close(master), 0);
    FAILS(tcdrain(slave), EBADF);
    int null = open("/dev/null", O_WRONLY);
    FAILS(tcdrain(null), ENOTTY);
    SAME(close(null), 0);
    say("terminal");
}

static int from[2], to[2];

static void* feed(void* argument) {
    wait_ticks(3);
    write_all(from[1], "duplicated", 10);
    return argument;
}

static void* drain(void* argument) {
    static char data[4096];
    wait_ticks(3);
    for (long left = (long)(intptr_t)argument; left > 0;) {
        ssize_t n = read(to[0], data, left < (long)sizeof data ? (size_t)left : sizeof data);
        CHECK(n > 0);
        left -= n;
    }
    return NULL;
}

static void pipes(void) {
    char data[16];
    SAME(pipe(from), 0);
    SAME(pipe(to), 0);
    pthread_t thread = start(feed, NULL);
    SAME(tee(from[0], to[1], 100, 0), 10);
    SAME(read(from[0], data, sizeof data), 10);
    SAME(read(to[0], data, sizeof data), 10);
    join(thread);
    FAILS(tee(from[0], to[1], 100, SPLICE_F_NONBLOCK), EAGAIN);
    FAILS(tee(from[0], hidden(-1), 100, 0), EBADF);
    FAILS(tee(from[0], from[1], 100, 0), EINVAL);
    size_t full = fill_up(to[1]);
    thread = start(drain, (void*)(intptr_t)full);
    struct iovec v = {data, 10};
    SAME(vmsplice(to[1], &v, 1, 0), 10);
    join(thread);
    SAME(read(to[0], data, sizeof data), 10);
    FAILS(vmsplice(hidden(-1), &v, 1, 0), EBADF);
    thread = start(feed, NULL);
    SAME(splice(from[0], NULL, to[1], NULL, 100, 0), 10);
    join(thread);
    SAME(close(from[1]), 0);
    SAME(splice(from[0], NULL, to[1], NULL, 100, 0), 0); /* the end */
    SAME(tee(from[0], to[1], 100, 0), 0);
    SAME(close(from[0]), 0);
    SAME(close(to[0]), 0);
    signal(SIGPIPE, SIG_IGN);
    FAILS(vmsplice(to[1], &v, 1, 0), EPIPE);
    SAME(close(to[1]), 0);
    say("pipes");
}

static mqd_t posix_queue;

static void* send_soon(void* argument) {
    wait_ticks(3);
    struct timespec later;
    clock_gettime(CLOCK_REALTIME, &later);
    later.tv_sec += 60;
    SAME(mq_timedsend(posix_queue, "hello", 6, 3, &later), 0);
    return argument;
}
static void* receive_soon(void* argument) {
    char text[64];
    wait_ticks(3);
    SAME(mq_receive(posix_queue, text, sizeof text, NULL), 6);
    return argument;
}

static struct timespec in_ms(long ms) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    long long ns = t.tv_nsec + ms * 1000000LL;
    t.tv_sec += (time_t)(ns / 1000000000);
    t.tv_nsec = (long)(ns % 1000000000);
    return t;
}

static void posix_queues(void) {
    char name[64], text[64];
    unsigned priority = 0;
    snprintf(name, sizeof name, "/parity-%d", (int)getpid());
    struct mq_attr attributes = {.mq_maxmsg = 2, .mq_msgsize = sizeof text};
    posix_queue = mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, &attributes);
    CHECK(posix_queue >= 0);
    SAME(mq_unlink(name), 0);
    struct timespec past = {1, 0}, bad = {1, hidden(-1)}, soon = in_ms(60), far = in_ms(60000);
    FAILS(mq_timedreceive(posix_queue, text, sizeof text, NULL, &past), ETIMEDOUT);
    FAILS(mq_timedreceive(posix_queue, text, sizeof text, NULL, &bad), EINVAL);
    long before = ticks();
    FAILS(mq_timedreceive(posix_queue, text, sizeof text, NULL, &soon), ETIMEDOUT);
    CHECK(ticks() > before);
    pthread_t thread = start(send_soon, NULL);
    SAME(mq_timedreceive(posix_queue, text, sizeof text, &priority, &far), 6);
    SAME(priority, 3);
    join(thread);
    SAME(mq_send(posix_queue, "hello", 6, 0), 0);
    SAME(mq_send(posix_queue, "hello", 6, 0), 0);
    FAILS(mq_timedsend(posix_queue, "hello", 6, 0, &past), ETIMEDOUT);
    soon = in_ms(60);
    before = ticks();
    FAILS(mq_timedsend(posix_queue, "hello", 6, 0, &soon), ETIMEDOUT);
    CHECK(ticks() > before);
    thread = start(receive_soon, NULL);
    SAME(mq_send(posix_queue, "hello", 6, 0), 0);
    join(thread);
    FAILS(mq_send(posix_queue, text, 100, 0), EMSGSIZE);
    FAILS(mq_receive(posix_queue, text, 5, NULL), EMSGSIZE);
    SAME(mq_close(posix_queue), 0);
    FAILS(mq_send(posix_queue, "hello", 6, 0), EBADF);
    FAILS(mq_receive(posix_queue, text, sizeof text, NULL), EBADF);
    FAILS(mq_timedsend(posix_queue, "hello", 6, 0, &far), EBADF);
    FAILS(mq_timedreceive(posix_queue, text, sizeof text, NULL, &far), EBADF);
    say("POSIX queues");
}

static int semaphores, queue;

static void* raise_soon(void* argument) {
    struct sembuf up = {0, 1, 0};
    wait_ticks(3);
    SAME(semop(semaphores, &up, 1), 0);
    return argument;
}

static void system_v(void) {
    semaphores = semget(IPC_PRIVATE, 1, 0600);
    queue = msgget(IPC_PRIVATE, 0600);
    CHECK(semaphores >= 0 && queue >= 0);
    struct sembuf down = {0, -1, 0}, try_down = {0, -1, IPC_NOWAIT}, wrong = {7, -1, 0};
    struct timespec none = {0, 0}, soon = timespec_ms(60), far = timespec_ms(60000);
    FAILS(semop(semaphores, &try_down, 1), EAGAIN);
    FAILS(semtimedop(semaphores, &down, 1, &none), EAGAIN);
    long before = ticks();
    FAILS(semtimedop(semaphores, &down, 1, &soon), EAGAIN);
    CHECK(ticks() > before);
    FAILS(semop(semaphores, &wrong, 1), EFBIG);
    pthread_t thread = start(raise_soon, NULL);
    SAME(semtimedop(semaphores, &down, 1, &far), 0);
    join(thread);
    thread = start(raise_soon, NULL);
    SAME(semtimedop(semaphores, &down, 1, NULL), 0);
    join(thread);
    struct {
        long type;
        char text[8];
    } message = {1, "hello"};
    FAILS(msgrcv(queue, &message, sizeof message.text, 0, IPC_NOWAIT), ENOMSG);
    FAILS(msgsnd(queue, &message, (size_t)hidden(-1), 0), EINVAL);
    SAME(msgsnd(queue, &message, sizeof message.text, 0), 0);
    FAILS(msgrcv(queue, &message, 2, 0, 0), E2BIG);
    SAME(msgrcv(queue, &message, sizeof message.text, 1, 0), (long)sizeof message.text);
    SAME(semctl(semaphores, 0, IPC_RMID), 0);
    SAME(msgctl(queue, IPC_RMID, NULL), 0);
    FAILS(semop(semaphores, &down, 1), EINVAL);
    FAILS(msgsnd(queue, &message, 1, 0), EINVAL);
    FAILS(msgrcv(queue, &message, 1, 0, 0), EINVAL);
    say("System V");
}

int main(void) {
    start_ticking();
    disk();
    terminal();
    pipes();
    posix_queues();
    system_v();
    sync();
    say("sync");
    stop_ticking();
    return 0;
}
