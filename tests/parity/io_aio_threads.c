/* POSIX aio and mq_notify make kernel threads of libc's, with all signals blocked meanwhile: again
 * and again, in children that have a thread.
 *
 * PARITY: kernel_threads=99 */
#include "parity.h"

#include <aio.h>
#include <mqueue.h>

#define CHILDREN 30
#define REQUESTS 15

static long notified;

static void notify(union sigval unused) {
    (void)unused;
    add_to(&notified, 1);
}

static void ask_and_collect(void) {
    static struct aiocb requests[REQUESTS];
    static char data[REQUESTS];
    static int ends[REQUESTS][2];
    for (int i = 0; i < REQUESTS; ++i) {
        SAME(pipe(ends[i]), 0);
        requests[i].aio_fildes = ends[i][0];
        requests[i].aio_buf = &data[i];
        requests[i].aio_nbytes = 1;
        SAME(aio_read(&requests[i]), 0);
    }
    for (int i = 0; i < REQUESTS; ++i) SAME(write(ends[i][1], "x", 1), 1);
    for (int i = 0; i < REQUESTS; ++i) {
        const struct aiocb* one[] = {&requests[i]};
        while (aio_error(&requests[i]) == EINPROGRESS) aio_suspend(one, 1, NULL);
        SAME(aio_return(&requests[i]), 1);
    }
}

static void be_notified(void) {
    char name[64];
    struct mq_attr attributes = {.mq_maxmsg = 1, .mq_msgsize = 1};
    snprintf(name, sizeof name, "/parity-aio-%d", getpid());
    mqd_t queue = mq_open(name, O_CREAT | O_RDWR, 0600, &attributes);
    CHECK(queue >= 0);
    SAME(mq_unlink(name), 0);
    struct sigevent event = {.sigev_notify = SIGEV_THREAD, .sigev_notify_function = notify};
    SAME(mq_notify(queue, &event), 0);
    SAME(mq_send(queue, "x", 1, 0), 0);
    wait_for(&notified, 1);
}

static int wait64(struct aiocb64* request) {
    const struct aiocb64* one[] = {request};
    while (aio_error64(request) == EINPROGRESS) aio_suspend64(one, 1, NULL);
    return (int)aio_return64(request);
}

static void use_a_file(void) {
    char data[] = "words";
    FILE* file = tmpfile();
    struct aiocb64 request = {.aio_fildes = fileno(file), .aio_buf = data, .aio_nbytes = 5};
    SAME(aio_write64(&request), 0);
    SAME(wait64(&request), 5);
    SAME(aio_fsync64(O_SYNC, &request), 0);
    SAME(wait64(&request), 0);
    SAME(aio_read64(&request), 0);
    SAME(wait64(&request), 5);
    SAME(aio_cancel64(fileno(file), &request), AIO_ALLDONE);
    struct aiocb sync = {.aio_fildes = fileno(file)};
    SAME(aio_fsync(O_DSYNC, &sync), 0);
    while (aio_error(&sync) == EINPROGRESS) sleep_ms(1);
    SAME(aio_return(&sync), 0);
    SAME(aio_cancel(fileno(file), NULL), AIO_ALLDONE);
    fclose(file);
    say("a file: written, synchronised, read");
}

int main(void) {
    for (int i = 0; i < CHILDREN; ++i) {
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            start_ticking();
            ask_and_collect();
            be_notified();
            stop_ticking();
            _exit(0);
        }
        int status;
        SAME(waitpid(child, &status, 0), child);
        SAME(status, 0);
    }
    say("%d children, %d requests each", CHILDREN, REQUESTS);
    start_ticking();
    ask_and_collect();
    use_a_file();
    stop_ticking();
    return 0;
}
