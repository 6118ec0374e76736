/* Waiting for several futexes at once (futex_waitv(2), Linux 5.16): a wake of one of them, of one
 * that is not marked private, a word that has changed, time-outs, arguments.
 *
 * PARITY: switches=3 threads=1 */
#include <linux/futex.h>
#include <sys/syscall.h>

#include "thread.h"

#ifndef SYS_futex_waitv
#    define SYS_futex_waitv 449
#endif

struct waited {
    uint64_t value, address;
    uint32_t flags, reserved;
};
static uint32_t words[3];
static int which, flag;

static long wait_several(unsigned count, uint32_t flags, const struct timespec* until) {
    struct waited list[3];
    for (int i = 0; i < 3; i++)
        list[i] = (struct waited){0, (uint64_t)(uintptr_t)&words[i], 2 | flags, 0};
    return syscall(SYS_futex_waitv, list, count, 0, until, CLOCK_MONOTONIC);
}

static void* wake(void* arg) {
    nap(30);
    words[which] = 1;
    long count = syscall(SYS_futex, &words[which], FUTEX_WAKE | flag, 1);
    CHECK(count == 1 || !flag); /* who waits for a shared one may just have seen it itself */
    return arg;
}

static void woken(int at, uint32_t flags) {
    which = at;
    flag = (int)flags;
    pthread_t thread = spawn(wake, NULL);
    printf("woken at %ld\n", wait_several(3, flags, NULL));
    finish(thread);
    words[at] = 0;
}

static void* nothing(void* arg) { return arg; }

int main(void) {
    finish(spawn(nothing, NULL));
    if (wait_several(0, 0, NULL) < 0 && errno == ENOSYS) return 0;
    for (int at = 0; at < 3; at++) woken(at, FUTEX_PRIVATE_FLAG);
    woken(1, 0);
    struct timespec past = in_ms(CLOCK_MONOTONIC, -10), soon = in_ms(CLOCK_MONOTONIC, 20);
    SHOW(wait_several(3, FUTEX_PRIVATE_FLAG, &past));
    SHOW(wait_several(3, FUTEX_PRIVATE_FLAG, &soon));
    CHECK(reached(CLOCK_MONOTONIC, soon));
    SHOW(wait_several(0, FUTEX_PRIVATE_FLAG, NULL));
    SHOW(wait_several(129, FUTEX_PRIVATE_FLAG, NULL));
    SHOW(wait_several(3, 1, NULL));
    words[2] = 1;
    SHOW(wait_several(3, FUTEX_PRIVATE_FLAG, NULL));
    return 0;
}
