/* A signalfd(2) that is older than the first thread, and a duplicate of it: a thread that waits in
 * read(2) there reads what it is sent, whether it blocks the signal, as the first thread does not,
 * or lets it in itself.
 *
 * PARITY: switches=4 threads=3 timeout=20
 */
#include "parity.h"

#include <sys/signalfd.h>

static int descriptors[2];
static long handled, about_to_read;

static void handler(int number) {
    (void)number;
    add_to(&handled, 1);
}

static void* reader(void* blocks) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    if (blocks != NULL) SAME(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
    for (int i = 0; i < 2; ++i) {
        struct signalfd_siginfo info;
        add_to(&about_to_read, 1);
        SAME(read(descriptors[i], &info, sizeof info), sizeof info);
        SAME(info.ssi_signo, SIGUSR1);
    }
    return NULL;
}

int main(void) {
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
    SAME(sigaction(SIGUSR1, &action, NULL), 0);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    descriptors[0] = signalfd(-1, &set, 0);
    descriptors[1] = dup(descriptors[0]);
    CHECK(descriptors[1] > descriptors[0]);
    start_ticking();
    for (long blocks = 1; blocks >= 0; --blocks) {
        set_to(&about_to_read, 0);
        pthread_t thread = start(reader, (void*)blocks);
        for (int i = 0; i < 2; ++i) {
            wait_for(&about_to_read, i + 1);
            wait_ticks(20);
            SAME(pthread_kill(thread, SIGUSR1), 0);
        }
        join(thread);
    }
    stop_ticking();
    say("read, and %ld handled", value_of(&handled));
    return 0;
}
