/* A ring of io_uring by its system calls: what the io_uring programs here share. Where the kernel
 * or a sandbox has none, they say so and end. */
#ifndef PARITY_IO_URING_H
#define PARITY_IO_URING_H

#include "parity.h"

#include <linux/io_uring.h>
#include <sys/mman.h>
#include <sys/syscall.h>

struct ring {
    int fd;
    unsigned *sq_tail, *sq_mask, *sq_array, *cq_head, *cq_tail, *cq_mask;
    struct io_uring_sqe* sqes;
    struct io_uring_cqe* cqes;
};

static inline int ring_open(struct ring* ring, unsigned flags) {
    struct io_uring_params p = {.flags = flags};
    ring->fd = (int)syscall(SYS_io_uring_setup, 16, &p);
    if (ring->fd < 0) return 0;
    CHECK((p.features & IORING_FEAT_SINGLE_MMAP) != 0 && (p.features & IORING_FEAT_EXT_ARG) != 0);
    size_t sq_size = p.sq_off.array + p.sq_entries * sizeof(unsigned);
    size_t cq_size = p.cq_off.cqes + p.cq_entries * sizeof(struct io_uring_cqe);
    size_t size = sq_size > cq_size ? sq_size : cq_size;
    char* at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring->fd,
                    IORING_OFF_SQ_RING);
    CHECK(at != MAP_FAILED);
    ring->sq_tail = (unsigned*)(at + p.sq_off.tail);
    ring->sq_mask = (unsigned*)(at + p.sq_off.ring_mask);
    ring->sq_array = (unsigned*)(at + p.sq_off.array);
    ring->cq_head = (unsigned*)(at + p.cq_off.head);
    ring->cq_tail = (unsigned*)(at + p.cq_off.tail);
    ring->cq_mask = (unsigned*)(at + p.cq_off.ring_mask);
    ring->cqes = (struct io_uring_cqe*)(at + p.cq_off.cqes);
    ring->sqes = mmap(NULL, p.sq_entries * sizeof(struct io_uring_sqe), PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_POPULATE, ring->fd, IORING_OFF_SQES);
    CHECK(ring->sqes != MAP_FAILED);
    return 1;
}

/* The next request, which the next call submits. */
static inline struct io_uring_sqe* ring_request(struct ring* ring, int operation, int fd,
                                                unsigned long long data) {
    unsigned tail = *ring->sq_tail, index = tail & *ring->sq_mask;
    struct io_uring_sqe* sqe = &ring->sqes[index];
    memset(sqe, 0, sizeof *sqe);
    sqe->opcode = (unsigned char)operation;
    sqe->fd = fd;
    sqe->user_data = data;
    ring->sq_array[index] = index;
    __atomic_store_n(ring->sq_tail, tail + 1, __ATOMIC_RELEASE);
    return sqe;
}

static inline unsigned ring_ready(struct ring* ring) {
    return __atomic_load_n(ring->cq_tail, __ATOMIC_ACQUIRE) - *ring->cq_head;
}

/* The oldest completion: its data and, in *result, what it came to. */
static inline unsigned long long ring_take(struct ring* ring, int* result) {
    CHECK(ring_ready(ring) > 0);
    unsigned head = *ring->cq_head;
    struct io_uring_cqe cqe = ring->cqes[head & *ring->cq_mask];
    __atomic_store_n(ring->cq_head, head + 1, __ATOMIC_RELEASE);
    *result = cqe.res;
    return cqe.user_data;
}

static inline long ring_enter(struct ring* ring, unsigned submit, unsigned wait_for) {
    unsigned flags = wait_for != 0 ? IORING_ENTER_GETEVENTS : 0;
    return syscall(SYS_io_uring_enter, ring->fd, submit, wait_for, flags, NULL, 0);
}

static inline long ring_enter_timed(struct ring* ring, unsigned submit, unsigned wait_for,
                                    long ms) {
    struct timespec t = timespec_ms(ms);
    struct io_uring_getevents_arg argument = {.ts = (unsigned long long)(uintptr_t)&t};
    unsigned flags = IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG;
    return syscall(SYS_io_uring_enter, ring->fd, submit, wait_for, flags, &argument,
                   sizeof argument);
}

#endif
