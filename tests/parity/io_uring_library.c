/* The same waits by liburing, whose system calls no libc function makes: one completion and
 * several, with a time-out, submitted in the same call. The library is asked for by name, as this
 * program must compile without it; where it is not installed there is nothing to show.
 *
 * PARITY: switches=10 threads=5
 */
#include "parity.h"

#include <dlfcn.h>
#include <linux/io_uring.h>

static struct io_uring { char content[216]; } ring;
static int pipes[2];

#define OF_LIBRARY(type, name, ...) static type (*name)(__VA_ARGS__)
OF_LIBRARY(int, io_uring_queue_init, unsigned, struct io_uring*, unsigned);
OF_LIBRARY(void, io_uring_queue_exit, struct io_uring*);
OF_LIBRARY(struct io_uring_sqe*, io_uring_get_sqe, struct io_uring*);
OF_LIBRARY(int, io_uring_submit, struct io_uring*);
OF_LIBRARY(int, io_uring_submit_and_wait, struct io_uring*, unsigned);
OF_LIBRARY(int, io_uring_submit_and_wait_timeout, struct io_uring*, struct io_uring_cqe**, unsigned,
           struct timespec*, sigset_t*);
OF_LIBRARY(int, io_uring_wait_cqes, struct io_uring*, struct io_uring_cqe**, unsigned,
           struct timespec*, sigset_t*);
OF_LIBRARY(int, io_uring_wait_cqe_timeout, struct io_uring*, struct io_uring_cqe**,
           struct timespec*);
OF_LIBRARY(unsigned, io_uring_peek_batch_cqe, struct io_uring*, struct io_uring_cqe**, unsigned);
OF_LIBRARY(int, __io_uring_get_cqe, struct io_uring*, struct io_uring_cqe**, unsigned, unsigned,
           sigset_t*);

#define FIND(name) CHECK((*(void**)&(name) = dlsym(RTLD_DEFAULT, #name)) != NULL)

static int find_library(void) {
    if (dlopen("liburing.so.2", RTLD_NOW | RTLD_GLOBAL) == NULL) return 0;
    FIND(io_uring_queue_init);
    FIND(io_uring_queue_exit);
    FIND(io_uring_get_sqe);
    FIND(io_uring_submit);
    FIND(io_uring_submit_and_wait);
    FIND(io_uring_submit_and_wait_timeout);
    FIND(io_uring_wait_cqes);
    FIND(io_uring_wait_cqe_timeout);
    FIND(io_uring_peek_batch_cqe);
    FIND(__io_uring_get_cqe);
    int r = io_uring_queue_init(16, &ring, 0);
    CHECK(r == 0 || r == -ENOSYS || r == -EPERM);
    return r == 0;
}

static void* write_later(void* words) {
    for (long i = 0; i < (long)(intptr_t)words; i++) {
        wait_ticks(3);
        SAME(write(pipes[1], "word", 4), 4);
    }
    return NULL;
}

static pthread_t read_by_ring(unsigned count) {
    static char words[8][4];
    for (unsigned i = 0; i < count; i++) {
        struct io_uring_sqe* sqe = io_uring_get_sqe(&ring);
        CHECK(sqe != NULL);
        memset(sqe, 0, sizeof *sqe);
        sqe->opcode = IORING_OP_READ;
        sqe->fd = pipes[0];
        sqe->addr = (unsigned long long)(uintptr_t)words[i];
        sqe->len = 4;
    }
    return start(write_later, (void*)(intptr_t)count);
}

/* How many completions there are; takes them. */
static unsigned take(void) {
    struct io_uring_cqe* found[16];
    unsigned count = io_uring_peek_batch_cqe(&ring, found, 16);
    for (unsigned i = 0; i < count; i++) SAME(found[i]->res, 4);
    unsigned* head;
    memcpy(&head, ring.content + 104, sizeof head); /* io_uring_cq_advance, which is inline */
    __atomic_store_n(head, *head + count, __ATOMIC_RELEASE);
    return count;
}

int main(void) {
    start_ticking();
    struct io_uring_cqe* first = NULL;
    SAME(pipe(pipes), 0);
    if (!find_library()) {
        for (int i = 0; i < 5; i++) join(start(write_later, NULL));
        wait_ticks(20);
        stop_ticking();
        say("no liburing here");
        return 0;
    }
    SAME(__io_uring_get_cqe(&ring, &first, 0, 0, NULL), -EAGAIN);

    pthread_t thread = read_by_ring(1);
    SAME(io_uring_submit(&ring), 1);
    SAME(__io_uring_get_cqe(&ring, &first, 0, 1, NULL), 0);
    CHECK(first != NULL && first->res == 4);
    SAME(take(), 1);
    join(thread);
    say("one");

    thread = read_by_ring(4);
    SAME(io_uring_submit(&ring), 4);
    SAME(io_uring_wait_cqes(&ring, &first, 4, NULL, NULL), 0);
    SAME(take(), 4);
    join(thread);
    say("several");

    thread = read_by_ring(3);
    SAME(io_uring_submit_and_wait(&ring, 3), 3);
    SAME(take(), 3);
    join(thread);
    say("submitted and waited for");

    struct timespec none = {0, 0}, soon = timespec_ms(30), late = timespec_ms(60000);
    long before = ticks();
    SAME(io_uring_wait_cqe_timeout(&ring, &first, &soon), -ETIME);
    CHECK(ticks() > before);
    SAME(io_uring_wait_cqe_timeout(&ring, &first, &none), -ETIME);
    thread = read_by_ring(2);
    int r = io_uring_submit_and_wait_timeout(&ring, &first, 2, &late, NULL);
    CHECK(first != NULL && first->res == 4);
    say("with a time-out: %d", r);
    SAME(take(), 2);
    join(thread);
    SAME(io_uring_submit_and_wait_timeout(&ring, &first, 1, &soon, NULL), -ETIME);

    io_uring_queue_exit(&ring);
    SAME(io_uring_queue_init(16, &ring, 0), 0); /* the same number, and another ring */
    thread = read_by_ring(1);
    SAME(io_uring_submit_and_wait(&ring, 1), 1);
    SAME(take(), 1);
    join(thread);
    say("another ring");
    io_uring_queue_exit(&ring);
    stop_ticking();
    return 0;
}
