/* Futexes that inherit priority, by syscall(2) (futex(2)): the word is the owner's thread id. Locks
 * that collide, time-outs, tries, what an owner and a stranger are told; a wait that ends in a
 * lock.
 *
 * PARITY: switches=10 threads=4 */
#include <linux/futex.h>
#include <sys/syscall.h>

#include "thread.h"

static uint32_t word, condition;
static volatile int inside, rounds;

static long futex(uint32_t* at, int operation, uint32_t value, const void* time, uint32_t* other,
                  uint32_t more) {
    return syscall(SYS_futex, at, operation | FUTEX_PRIVATE_FLAG, value, time, other, more);
}

static uint32_t me(void) { return (uint32_t)gettid(); }

static void lock(void) {
    uint32_t nobody = 0;
    if (__atomic_compare_exchange_n(&word, &nobody, me(), 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
        return;
    CHECK(futex(&word, FUTEX_LOCK_PI, 0, NULL, NULL, 0) == 0);
}

static void unlock(void) {
    uint32_t mine = me();
    if (__atomic_compare_exchange_n(&word, &mine, 0, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) return;
    CHECK(futex(&word, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0) == 0);
}

static void* collide(void* arg) {
    for (int i = 0; i < 20; i++) {
        lock();
        CHECK(inside++ == 0);
        nap(1);
        rounds++;
        inside--;
        unlock();
    }
    return arg;
}

static void* hold(void* arg) {
    lock();
    sem_post(arg);
    nap(150);
    unlock();
    return NULL;
}

static void* wait_and_lock(void* arg) {
    CHECK(futex(&condition, FUTEX_WAIT_REQUEUE_PI, 0, NULL, &word, 0) == 0);
    CHECK((word & FUTEX_TID_MASK) == me());
    rounds++;
    unlock();
    return arg;
}

int main(void) {
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) threads[i] = spawn(collide, NULL);
    for (int i = 0; i < 4; i++) finish(threads[i]);
    printf("%d rounds, word %u\n", rounds, word);

    sem_t held;
    sem_init(&held, 0, 0);
    threads[0] = spawn(hold, &held);
    sem_wait(&held);
    struct timespec soon = in_ms(CLOCK_REALTIME, 20);
    SHOW(futex(&word, FUTEX_LOCK_PI, 0, &soon, NULL, 0));
    CHECK(reached(CLOCK_REALTIME, soon));
    SHOW(futex(&word, FUTEX_TRYLOCK_PI, 0, NULL, NULL, 0));
    SHOW(futex(&word, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0));
    lock();
    finish(threads[0]);
    SHOW(futex(&word, FUTEX_LOCK_PI, 0, NULL, NULL, 0));
    unlock();
    SHOW(futex(&word, FUTEX_TRYLOCK_PI, 0, NULL, NULL, 0));
    SHOW_YES((word & FUTEX_TID_MASK) == me());
    unlock();

    rounds = 0;
    for (int i = 0; i < 3; i++) threads[i] = spawn(wait_and_lock, NULL);
    nap(50);
    lock();
    long taken = futex(&condition, FUTEX_CMP_REQUEUE_PI, 1, (void*)2, &word, 0);
    printf("woken or moved: %ld\n", taken);
    nap(20);
    printf("%d have it\n", rounds);
    unlock();
    for (int i = 0; i < 3; i++) finish(threads[i]);
    printf("%d had it\n", rounds);
    return 0;
}
