/* A futex that is not marked private, in memory of this process alone: a thread that waits for it
 * long costs nothing meanwhile, and is woken. In memory that processes share, it is too.
 *
 * PARITY: switches=5 threads=2
 */
#include "thread.h"

#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>

static uint32_t* word;

static void* body(void* unused) {
    while (__atomic_load_n(word, __ATOMIC_SEQ_CST) == 0) {
        long r = syscall(SYS_futex, word, FUTEX_WAIT, 0, NULL, NULL, 0);
        CHECK(r == 0 || errno == EAGAIN);
    }
    return unused;
}

static long waits_so_far(void) {
    struct rusage usage;
    CHECK(getrusage(RUSAGE_SELF, &usage) == 0);
    return usage.ru_nvcsw;
}

static long waits_meanwhile(void) {
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, body, NULL) == 0);
    usleep(100000);
    long before = waits_so_far();
    usleep(400000);
    long after = waits_so_far();
    __atomic_store_n(word, 1, __ATOMIC_SEQ_CST);
    syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
    CHECK(pthread_join(thread, NULL) == 0);
    return after - before;
}

int main(void) {
    static uint32_t own;
    word = &own;
    CHECK(waits_meanwhile() < 50);
    printf("woken\n");
    word = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(word != MAP_FAILED);
    waits_meanwhile();
    printf("woken in shared memory\n");
    return 0;
}
