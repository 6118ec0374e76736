/* The mask of signals by syscall(2) with the number of rt_sigprocmask: it is the calling thread's,
 * and a thread that has all of them blocked goes on.
 *
 * PARITY: threads=2 */
#include "parity.h"

#include <sys/syscall.h>

static long mask(int how, const unsigned long* set, unsigned long* old) {
    return syscall(SYS_rt_sigprocmask, how, set, old, sizeof *set);
}

static void* ask(void* unused) {
    unsigned long old = 0;
    SAME(mask(SIG_BLOCK, NULL, &old), 0);
    say("another's mask: %lx", old);
    return unused;
}

int main(void) {
    unsigned long all = ~0UL, old[2] = {1, 0x123456789}, one = 1UL << (SIGUSR1 - 1);
    start_ticking();
    SAME(mask(SIG_BLOCK, &one, old), 0);
    say("before: %lx", old[0]);
    SAME(old[1], 0x123456789);
    sigset_t set;
    SAME(pthread_sigmask(SIG_BLOCK, NULL, &set), 0);
    SAME(sigismember(&set, SIGUSR1), 1);
    join(start(ask, NULL));
    SAME(mask(SIG_SETMASK, &all, old), 0);
    wait_ticks(20);
    SAME(mask(SIG_BLOCK, NULL, old), 0);
    CHECK((old[0] >> (SIGTERM - 1) & 1) == 1);
    FAILS(mask(77, &one, NULL), EINVAL);
    FAILS(syscall(SYS_rt_sigprocmask, SIG_BLOCK, &one, NULL, 4), EINVAL);
    SAME(mask(SIG_SETMASK, &old[0], NULL), 0);
    stop_ticking();
    return 0;
}
