// POSIX asynchronous I/O (aio(7)): libc carries the requests out with kernel threads of its own,
// which run beside the one that has the green threads. Two calls wait: what happens to a request is
// told to nobody but libc, so they look again, at growing intervals. The others may make one of
// libc's threads, for which it blocks all signals (fs_trap.h).

#include <aio.h>

#include "hooks/fs_trap.h"
#include "hooks/wait.h"

using namespace green;

ORIGINAL(int, aio_suspend, (const aiocb* const*, int, const timespec*), nullptr)
ORIGINAL(int, aio_read, (aiocb*), nullptr)
ORIGINAL(int, aio_write, (aiocb*), nullptr)
ORIGINAL(int, aio_fsync, (int, aiocb*), nullptr)
ORIGINAL(int, aio_cancel, (int, aiocb*), nullptr)
ORIGINAL(int, lio_listio, (int, aiocb* const*, int, sigevent*), nullptr)

namespace {

constexpr uint64_t first_look = 50'000;

bool in_progress(const aiocb* request) {
    return request != nullptr && aio_error(request) == EINPROGRESS;
}

int count_in_progress(const aiocb* const* requests, int count) {
    int n = 0;
    for (int i = 0; i < count; ++i) n += in_progress(requests[i]) ? 1 : 0;
    return n;
}

// Until no more than `most` of the requests are in progress. An error number or 0.
int wait_until(const aiocb* const* requests, int count, int most, sys::Deadline deadline) {
    uint64_t nap = first_look;
    while (count_in_progress(requests, count) > most) {
        Wake why = pause_until(&nap, deadline);
        if (why == Wake::timed_out) return waited(EAGAIN);
        if (why == Wake::interrupted && interruption_ends_call(false)) return EINTR;
    }
    return 0;
}

int finish(int error) {
    if (error == 0) return 0;
    errno = error;
    return -1;
}

int requests_in(const aiocb* const* requests, int count) {
    int n = 0;
    for (int i = 0; i < count; ++i) n += requests[i] == nullptr ? 0 : 1;
    return n;
}

bool failed_one(aiocb* const* requests, int count) {
    for (int i = 0; i < count; ++i) {
        bool asked = requests[i] != nullptr && requests[i]->aio_lio_opcode != LIO_NOP;
        if (asked && aio_error(requests[i]) != 0) return true;
    }
    return false;
}

}  // namespace

HOOK(int, aio_read, (aiocb * request), interposed) {
    KernelKnowsFs scope;
    return original_aio_read()(request);
}
HOOK_ALIAS(aio_read64, aio_read, interposed)

HOOK(int, aio_write, (aiocb * request), interposed) {
    KernelKnowsFs scope;
    return original_aio_write()(request);
}
HOOK_ALIAS(aio_write64, aio_write, interposed)

HOOK(int, aio_fsync, (int operation, aiocb* request), interposed) {
    KernelKnowsFs scope;
    return original_aio_fsync()(operation, request);
}
HOOK_ALIAS(aio_fsync64, aio_fsync, interposed)

HOOK(int, aio_cancel, (int fd, aiocb* request), interposed) {
    KernelKnowsFs scope;
    return original_aio_cancel()(fd, request);
}
HOOK_ALIAS(aio_cancel64, aio_cancel, interposed)

HOOK(int, aio_suspend, (const aiocb* const requests[], int count, const timespec* timeout),
     interposed) {
    if (self == nullptr || count < 0) return original_aio_suspend()(requests, count, timeout);
    if (timeout != nullptr && !valid(timeout)) return finish(EINVAL);
    cancellation_point();
    // One that is finished is enough, and there may be none at all.
    int all = requests_in(requests, count);
    if (all == 0) return 0;
    return finish(wait_until(requests, count, all - 1, deadline_in(timeout)));
}
HOOK_ALIAS(aio_suspend64, aio_suspend, interposed)

HOOK(int, lio_listio, (int mode, aiocb* const requests[], int count, sigevent* event), interposed) {
    int r;
    {
        KernelKnowsFs scope;
        bool here = self != nullptr && mode == LIO_WAIT;
        r = original_lio_listio()(here ? LIO_NOWAIT : mode, requests, count,
                                  here ? nullptr : event);
        if (!here) return r;
    }
    int error = r == 0 ? 0 : errno;
    int interrupted = wait_until(requests, count, 0, sys::never);
    if (interrupted != 0) return finish(interrupted);
    if (error != 0) return finish(error);
    return finish(failed_one(requests, count) ? EIO : 0);
}
HOOK_ALIAS(lio_listio64, lio_listio, interposed)
