/* Raw futexes between a parent and a forked child, in shared memory, without the private flag: each
 * hands a turn to the other, while another thread of the parent keeps running.
 *
 * PARITY: switches=10 threads=1 kernel_threads=9
 */
#include "thread.h"

#include <limits.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/syscall.h>

static uint32_t* turn;
static int stop;
static long ticks;

static void* ticker(void* arg) {
    while (!__atomic_load_n(&stop, __ATOMIC_SEQ_CST)) {
        nap(2);
        __atomic_add_fetch(&ticks, 1, __ATOMIC_SEQ_CST);
    }
    return arg;
}

static void play(uint32_t mine, uint32_t rounds) {
    for (;;) {
        uint32_t now = __atomic_load_n(turn, __ATOMIC_SEQ_CST);
        if (now >= rounds) return;
        if (now % 2 != mine) {
            long result = syscall(SYS_futex, turn, FUTEX_WAIT, now, NULL, NULL, 0);
            CHECK(result == 0 || errno == EAGAIN || errno == EINTR);
            continue;
        }
        if (now == 10 && mine == 0) nap(100); /* the child: the parent waits all this time */
        __atomic_store_n(turn, now + 1, __ATOMIC_SEQ_CST);
        CHECK(syscall(SYS_futex, turn, FUTEX_WAKE, INT_MAX, NULL, NULL, 0) >= 0);
    }
}

int main(void) {
    turn = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(turn != MAP_FAILED);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        play(0, 500);
        _exit(8);
    }
    pthread_t tick = spawn(ticker, NULL);
    play(1, 500);
    SHOW_YES(__atomic_load_n(&ticks, __ATOMIC_SEQ_CST) >= 5);
    __atomic_store_n(&stop, 1, __ATOMIC_SEQ_CST);
    finish(tick);
    SHOW_LONG(*turn);
    SHOW_LONG(child_status(child));
    return 0;
}
