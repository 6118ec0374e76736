/* POSIX asynchronous I/O: reads and writes of a file, aio_suspend with every outcome, lists that
 * are waited for, a request on an empty pipe that another thread fills, notification by a function
 * in a thread of libc's own, which lets a waiting thread go by a semaphore, a mutex and a condition
 * variable.
 *
 * PARITY: switches=5 threads=2 kernel_threads=30 */
#include "parity.h"

#include <aio.h>
#include <semaphore.h>

static int ends[2];
static sem_t told;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int finished;

static void* fill_pipe(void* unused) {
    sleep_ms(30);
    SAME(write(ends[1], "late", 4), 4);
    return unused;
}

static void on_end(union sigval value) {
    SAME(pthread_mutex_lock(&mutex), 0);
    finished += value.sival_int;
    SAME(pthread_cond_broadcast(&changed), 0);
    SAME(pthread_mutex_unlock(&mutex), 0);
    SAME(sem_post(&told), 0);
}

static struct aiocb request(int fd, void* buffer, size_t size, int opcode) {
    struct aiocb r = {.aio_fildes = fd, .aio_buf = buffer, .aio_nbytes = size};
    r.aio_lio_opcode = opcode;
    r.aio_sigevent.sigev_notify = SIGEV_NONE;
    return r;
}

static void file_and_lists(void) {
    char in[3][16] = {"", "", ""}, text[] = "asynchronous";
    int file = open("file", O_RDWR | O_CREAT | O_TRUNC, 0600);
    struct aiocb out = request(file, text, sizeof text, LIO_WRITE);
    const struct aiocb* one[] = {NULL, &out};
    SAME(aio_write(&out), 0);
    while (aio_error(&out) == EINPROGRESS) SAME(aio_suspend(one, 2, NULL), 0);
    SAME(aio_return(&out), sizeof text);
    struct aiocb reads[3];
    struct aiocb* list[4] = {NULL};
    for (int i = 0; i < 3; ++i) {
        reads[i] = request(file, in[i], 10, LIO_READ);
        reads[i].aio_offset = i;
        list[i] = &reads[i];
    }
    SAME(lio_listio(LIO_WAIT, list, 4, NULL), 0);
    for (int i = 0; i < 3; ++i) SAME(aio_return(&reads[i]), 10);
    say("%s %s %s", in[0], in[1], in[2]);
    reads[1] = request(99, in[1], 12, LIO_READ);
    FAILS(lio_listio(LIO_WAIT, list, 2, NULL), EIO);
    SAME(aio_error(&reads[1]), EBADF);
    say("lists");
    close(file);
}

static void waiting(void) {
    char text[8] = "";
    pthread_t writer;
    struct timespec soon = {0, 20000000}, none = {0, 0};
    struct aiocb in = request(ends[0], text, 4, LIO_READ);
    const struct aiocb* list[] = {&in};
    SAME(aio_suspend(list, 0, NULL), 0);
    SAME(aio_read(&in), 0);
    FAILS(aio_suspend(list, 1, &none), EAGAIN);
    FAILS(aio_suspend(list, 1, &soon), EAGAIN);
    SAME(pthread_create(&writer, NULL, fill_pipe, NULL), 0);
    SAME(aio_suspend(list, 1, NULL), 0);
    SAME(aio_return(&in), 4);
    SAME(pthread_join(writer, NULL), 0);
    say("%s", text);
}

static void notified(void) {
    char text[8] = "";
    pthread_t writer;
    struct aiocb in = request(ends[0], text, 4, LIO_READ);
    in.aio_sigevent.sigev_notify = SIGEV_THREAD;
    in.aio_sigevent.sigev_notify_function = on_end;
    in.aio_sigevent.sigev_value.sival_int = 7;
    SAME(sem_init(&told, 0, 0), 0);
    SAME(aio_read(&in), 0);
    SAME(pthread_create(&writer, NULL, fill_pipe, NULL), 0);
    SAME(pthread_mutex_lock(&mutex), 0);
    while (finished == 0) SAME(pthread_cond_wait(&changed, &mutex), 0);
    SAME(pthread_mutex_unlock(&mutex), 0);
    SAME(sem_wait(&told), 0);
    SAME(pthread_join(writer, NULL), 0);
    say("told %d: %s", finished, text);
}

int main(void) {
    SAME(pipe(ends), 0);
    file_and_lists();
    waiting();
    notified();
    return 0;
}
