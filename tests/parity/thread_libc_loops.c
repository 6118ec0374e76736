/* A thread that does nothing but call libc, which it cannot be interrupted in, lets others run all
 * the same; and one that does nothing but lock and unlock a mutex lets others have it. Natively
 * both take no time to speak of; 10 seconds are for slow machines.
 *
 * PARITY: switches=6 threads=3
 */
#include "thread.h"

#include <sys/stat.h>

enum { turns = 50 };
static pthread_mutex_t mutex = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
static volatile int taken;

static void* take_turns(void* arg) {
    for (int i = 0; i < turns; ++i) {
        pthread_mutex_lock(&mutex);
        ++taken;
        pthread_mutex_unlock(&mutex);
        sched_yield();
    }
    return arg;
}

#define UNTIL_ALL_ARE_TAKEN(what, call)                       \
    do {                                                      \
        struct timespec late = in_ms(CLOCK_MONOTONIC, 10000); \
        taken = 0;                                            \
        pthread_t thread = spawn(take_turns, NULL);           \
        while (taken < turns) call;                           \
        CHECK(!reached(CLOCK_MONOTONIC, late));               \
        finish(thread);                                       \
        puts(what);                                           \
    } while (0)

int main(void) {
    static char from[60000], to[60000];
    volatile size_t size = sizeof to;
    struct stat st;
    UNTIL_ALL_ARE_TAKEN("a loop of stat", stat("/dev/null", &st));
    UNTIL_ALL_ARE_TAKEN("a loop of memcpy", memcpy(to, from, size));
    UNTIL_ALL_ARE_TAKEN("a loop of lock and unlock",
                        (pthread_mutex_lock(&mutex), pthread_mutex_unlock(&mutex)));
    return 0;
}
