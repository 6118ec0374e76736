/* Kernel aio (io_getevents(2), as libaio calls it): a thread that waits for completions, several at
 * once, with a time-out, ended by a signal, lets the others run.
 *
 * PARITY: switches=20 threads=4 offloaded=2 kernel_threads=2
 */
#include "parity.h"

#include <linux/aio_abi.h>
#include <sys/syscall.h>

enum { most = 8 };
static aio_context_t context;
static int pipes[most][2];

static long get(long least, long room, struct io_event* events, struct timespec* timeout) {
    return syscall(SYS_io_getevents, context, least, room, events, timeout);
}

/* Each request waits until its pipe can be read. */
static void submit(int count) {
    static struct iocb requests[most];
    for (int i = 0; i < count; i++) {
        struct iocb* request = &requests[i];
        memset(request, 0, sizeof *request);
        request->aio_lio_opcode = IOCB_CMD_POLL;
        request->aio_fildes = (unsigned)pipes[i][0];
        request->aio_buf = POLLIN;
        request->aio_data = 100 + (unsigned)i;
        SAME(syscall(SYS_io_submit, context, 1, &request), 1);
    }
}

static void* write_later(void* count) {
    for (long i = 0; i < (long)(intptr_t)count; i++) {
        wait_ticks(3);
        SAME(write(pipes[i][1], "x", 1), 1);
    }
    return NULL;
}

static void several(int count) {
    struct io_event events[most];
    submit(count);
    pthread_t thread = start(write_later, (void*)(intptr_t)count);
    SAME(get(count, most, events, NULL), count);
    long sum = 0;
    for (int i = 0; i < count; i++) {
        sum += (long)events[i].data - 100;
        char byte;
        SAME(read(pipes[i][0], &byte, 1), 1);
    }
    SAME(sum, count * (count - 1) / 2);
    join(thread);
    say("waited for %d", count);
}

static long handled;
static pthread_t main_thread;
static void count(int number) {
    (void)number;
    add_to(&handled, 1);
}

static void* kill_later(void* unused) {
    wait_ticks(3);
    SAME(pthread_kill(main_thread, SIGUSR1), 0);
    return unused;
}

int main(void) {
    struct io_event events[most];
    struct timespec soon = timespec_ms(30), none = {0, 0};
    start_ticking();
    for (int i = 0; i < most; i++) SAME(pipe(pipes[i]), 0);
    if (syscall(SYS_io_setup, most, &context) != 0) say("no kernel aio here");
    several(1);
    several(5);

    SAME(get(1, most, events, &none), 0);
    long before = ticks();
    double begin = now_ms();
    SAME(get(1, most, events, &soon), 0);
    TOOK(begin, 30);
    CHECK(ticks() > before);
    submit(1);
    SAME(write(pipes[0][1], "x", 1), 1);
    SAME(get(2, most, events, &soon), 1); /* what there is when the time is over */
    SAME(events[0].data, 100);
    say("time-outs");

    struct sigaction action = {.sa_handler = count, .sa_flags = SA_RESTART};
    SAME(sigaction(SIGUSR1, &action, NULL), 0);
    main_thread = pthread_self();
    pthread_t thread = start(kill_later, NULL);
    FAILS(get(1, most, events, NULL), EINTR);
    SAME(value_of(&handled), 1);
    join(thread);
    FAILS(get(-1, most, events, NULL), EINVAL);
    SAME(syscall(SYS_io_destroy, context), 0);
    FAILS(get(1, most, events, NULL), EINVAL);
    say("a signal, and errors");
    stop_ticking();
    return 0;
}
