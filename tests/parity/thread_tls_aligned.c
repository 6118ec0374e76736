/* Thread-local variables with more than a cache line's alignment, as liburcu and others have them:
 * every thread's are where they must be, begin with what the program says, and are its own.
 *
 * PARITY: switches=40 threads=40
 */
#include "thread.h"

#include <string.h>

enum { threads = 20, rounds = 2 };
static __thread __attribute__((aligned(128))) char pair_of_lines[384];
static __thread __attribute__((aligned(1024))) long filled[100] = {7, 8, 9};
static __thread char small = 3;
static pthread_barrier_t barrier;

static void look(long number) {
    CHECK((uintptr_t)pair_of_lines % 128 == 0);
    CHECK((uintptr_t)filled % 1024 == 0);
    CHECK(small == 3 && filled[0] == 7 && filled[1] == 8 && filled[2] == 9 && filled[99] == 0);
    for (size_t i = 0; i < sizeof pair_of_lines; i++) CHECK(pair_of_lines[i] == 0);
    small = (char)number;
    filled[99] = number;
    memset(pair_of_lines, (int)number, sizeof pair_of_lines);
}

static void look_again(long number) {
    CHECK(small == (char)number && filled[99] == number && filled[0] == 7);
    for (size_t i = 0; i < sizeof pair_of_lines; i++) CHECK(pair_of_lines[i] == (char)number);
}

static void* body(void* argument) {
    look((long)argument);
    pthread_barrier_wait(&barrier);
    look_again((long)argument);
    errno = 0;
    CHECK(close(-1) == -1 && errno == EBADF);
    return NULL;
}

int main(void) {
    pthread_t thread[threads];
    CHECK(pthread_barrier_init(&barrier, NULL, threads) == 0);
    look(100);
    for (int round = 0; round < rounds; round++) { /* the second time in memory of the first */
        for (long i = 0; i < threads; i++)
            CHECK(pthread_create(&thread[i], NULL, body, (void*)(i + 1)) == 0);
        for (int i = 0; i < threads; i++) CHECK(pthread_join(thread[i], NULL) == 0);
        printf("round %d\n", round);
    }
    look_again(100);
    return 0;
}
