/* signalfd(2) read by threads that block the signal while the first one does not: what a thread is
 * sent, before it reads or while it waits, is its own to read, in order and with its value.
 *
 * PARITY: switches=5 threads=3 */
#include "parity.h"

#include <sys/signalfd.h>

enum { count = 20 };
static long ready;

static void* reader(void* argument) {
    long mine = (long)argument;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN + 2);
    SAME(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
    int fd = signalfd(-1, &set, SFD_CLOEXEC);
    CHECK(fd >= 0);
    union sigval value = {.sival_int = -1};
    SAME(pthread_sigqueue(pthread_self(), SIGRTMIN + 2, value), 0);
    struct signalfd_siginfo info[3];
    SAME(read(fd, info, sizeof info), sizeof info[0]);
    SAME(info[0].ssi_int, -1);
    __atomic_add_fetch(&ready, 1, __ATOMIC_SEQ_CST);
    for (int i = 0; i < count;) {
        long got = read(fd, info, sizeof info);
        CHECK(got > 0 && got % (long)sizeof info[0] == 0);
        for (long k = 0; k < got / (long)sizeof info[0]; ++k, ++i) {
            SAME(info[k].ssi_signo, SIGRTMIN + 2);
            SAME(info[k].ssi_code, SI_QUEUE);
            SAME(info[k].ssi_pid, getpid());
            SAME(info[k].ssi_int, mine * 1000 + i);
        }
    }
    CHECK(close(fd) == 0);
    return NULL;
}

static void handler(int number) { (void)number; }

int main(void) {
    signal(SIGRTMIN + 2, handler);
    start_ticking();
    pthread_t threads[2];
    for (long i = 0; i < 2; ++i) threads[i] = start(reader, (void*)i);
    wait_for(&ready, 2);
    for (int i = 0; i < count; ++i) {
        for (long k = 0; k < 2; ++k) {
            union sigval value = {.sival_int = (int)k * 1000 + i};
            SAME(pthread_sigqueue(threads[k], SIGRTMIN + 2, value), 0);
        }
        if (i % 5 == 0) wait_ticks(2);
    }
    for (int i = 0; i < 2; ++i) SAME(pthread_join(threads[i], NULL), 0);
    say("read");
    return 0;
}
