/* Raw futexes through syscall(), as libstdc++ and other languages' runtimes use them: WAIT and WAKE
 * with their counts, EAGAIN, relative and absolute timeouts on both clocks, bit sets, requeueing,
 * WAKE_OP, a lock of one's own built on them, and the errors for nonsense.
 *
 * PARITY: switches=100 threads=30 timeout=20
 */
#include "thread.h"

#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>

static long futex(uint32_t* word, int op, uint32_t value, const void* timeout, uint32_t* word2,
                  uint32_t value3) {
    return syscall(SYS_futex, word, op, value, timeout, word2, value3);
}

static uint32_t word, word2;
static int awake;

static void* wait_plain(void* arg) {
    while (futex(&word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0) != 0) CHECK(errno == EINTR);
    __atomic_add_fetch(&awake, 1, __ATOMIC_SEQ_CST);
    return arg;
}

static void* wait_bits(void* arg) {
    uint32_t bits = (uint32_t)(long)arg;
    while (futex(&word, FUTEX_WAIT_BITSET_PRIVATE, 0, NULL, NULL, bits) != 0) CHECK(errno == EINTR);
    __atomic_add_fetch(&awake, 1, __ATOMIC_SEQ_CST);
    return arg;
}

/* Wakes until `count` have been woken in all: those not asleep yet are waited for. */
static long wake_all_of(uint32_t* at, long count) {
    long woken = 0;
    while (woken < count) {
        long n = futex(at, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
        CHECK(n >= 0);
        woken += n;
        nap(1);
    }
    return woken;
}

/* Waits until that many are awake, and a little for one too many. */
static void show_awake(int expected) {
    while (__atomic_load_n(&awake, __ATOMIC_SEQ_CST) < expected) nap(1);
    nap(20);
    SHOW_LONG(__atomic_load_n(&awake, __ATOMIC_SEQ_CST));
}

static void waiting_and_waking(void) {
    pthread_t thread[10];
    puts("--- wait and wake");
    word = 0;
    SHOW_LONG(futex(&word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0));
    SHOW(futex(&word, FUTEX_WAIT_PRIVATE, 1, NULL, NULL, 0));
    for (int i = 0; i < 10; i++) thread[i] = spawn(wait_plain, NULL);
    long woken = 0;
    while (woken < 3) {
        long n = futex(&word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
        CHECK(n == 0 || n == 1);
        woken += n;
        nap(1);
    }
    show_awake(3);
    SHOW_LONG(wake_all_of(&word, 7));
    for (int i = 0; i < 10; i++) finish(thread[i]);
    SHOW_LONG(awake);
    SHOW_LONG(futex(&word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0));
}

static void timeouts(void) {
    puts("--- timeouts");
    struct timespec t = {0, 30000000}, end = in_ms(CLOCK_MONOTONIC, 30);
    SHOW(futex(&word, FUTEX_WAIT_PRIVATE, 0, &t, NULL, 0));
    CHECK(reached(CLOCK_MONOTONIC, end));
    end = in_ms(CLOCK_MONOTONIC, 30);
    SHOW(futex(&word, FUTEX_WAIT, 0, &t, NULL, 0)); /* the shared form */
    CHECK(reached(CLOCK_MONOTONIC, end));
    t = in_ms(CLOCK_MONOTONIC, 30);
    SHOW(futex(&word, FUTEX_WAIT_BITSET_PRIVATE, 0, &t, NULL, FUTEX_BITSET_MATCH_ANY));
    CHECK(reached(CLOCK_MONOTONIC, t));
    t = in_ms(CLOCK_REALTIME, 30);
    SHOW(futex(&word, FUTEX_WAIT_BITSET_PRIVATE | FUTEX_CLOCK_REALTIME, 0, &t, NULL, 1));
    CHECK(reached(CLOCK_REALTIME, t));
    t = in_ms(CLOCK_MONOTONIC, -5);
    SHOW(futex(&word, FUTEX_WAIT_BITSET_PRIVATE, 0, &t, NULL, 1));
    t = (struct timespec){0, 0};
    SHOW(futex(&word, FUTEX_WAIT_PRIVATE, 0, &t, NULL, 0));
    SHOW(futex(&word, FUTEX_WAIT_PRIVATE, 5, &t, NULL, 0)); /* the value is looked at first */
    t = (struct timespec){0, 1000000000};
    SHOW(futex(&word, FUTEX_WAIT_PRIVATE, 0, &t, NULL, 0));
    t = (struct timespec){-1, 0};
    SHOW(futex(&word, FUTEX_WAIT_PRIVATE, 0, &t, NULL, 0));
}

static void bit_sets(void) {
    pthread_t thread[4];
    puts("--- bit sets");
    awake = 0;
    for (long i = 0; i < 4; i++) thread[i] = spawn(wait_bits, (void*)(1L << i));
    nap(50); /* all asleep by now, or woken by the retries below */
    SHOW_LONG(futex(&word, FUTEX_WAKE_BITSET_PRIVATE, INT_MAX, NULL, NULL, 16));
    long woken = 0;
    while (woken < 2) {
        woken += futex(&word, FUTEX_WAKE_BITSET_PRIVATE, INT_MAX, NULL, NULL, 2 | 8);
        nap(1);
    }
    finish(thread[1]);
    finish(thread[3]);
    SHOW_LONG(awake);
    SHOW_LONG(wake_all_of(&word, 2)); /* a plain wake matches every set */
    finish(thread[0]);
    finish(thread[2]);
    SHOW(futex(&word, FUTEX_WAIT_BITSET_PRIVATE, 0, NULL, NULL, 0));
    SHOW(futex(&word, FUTEX_WAKE_BITSET_PRIVATE, 1, NULL, NULL, 0));
}

static void requeueing(void) {
    pthread_t thread[6];
    puts("--- requeue");
    awake = 0;
    for (int i = 0; i < 6; i++) thread[i] = spawn(wait_plain, NULL);
    SHOW(futex(&word, FUTEX_CMP_REQUEUE_PRIVATE, 1, (void*)10L, &word2, 99));
    long moved = 0;
    while (moved < 3) {
        long n = futex(&word, FUTEX_CMP_REQUEUE_PRIVATE, 0, (void*)(3 - moved), &word2, 0);
        CHECK(n >= 0);
        moved += n;
        nap(1);
    }
    SHOW_LONG(moved);
    long woken = 0;
    while (woken < 3) {
        woken += futex(&word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
        nap(1);
    }
    SHOW_LONG(woken);
    show_awake(3);
    SHOW_LONG(futex(&word2, FUTEX_WAKE_PRIVATE, 2, NULL, NULL, 0));
    /* one of word2 back to word by the plain requeue: none woken, one moved */
    SHOW_LONG(futex(&word2, FUTEX_REQUEUE_PRIVATE, 0, (void*)5L, &word, 0));
    SHOW_LONG(futex(&word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0));
    for (int i = 0; i < 6; i++) finish(thread[i]);
    SHOW_LONG(awake);
}

static void wake_op(void) {
    puts("--- wake_op");
    awake = 0;
    pthread_t thread = spawn(wait_plain, NULL);
    long n = 0;
    while (n == 0) { /* until the thread is asleep */
        nap(1);
        word2 = 5;
        /* word2 += 3; wakes one on word, and one on word2 if it was equal to 5 before */
        n = futex(&word, FUTEX_WAKE_OP_PRIVATE, 1, (void*)1L, &word2,
                  (uint32_t)FUTEX_OP(FUTEX_OP_ADD, 3, FUTEX_OP_CMP_EQ, 5));
    }
    SHOW_LONG(n);
    SHOW_LONG(word2);
    finish(thread);
}

/* The classic lock of three states: 0 free, 1 held, 2 held and somebody waits. */
static uint32_t lock_word;
static long counter;

static void lock_it(void) {
    uint32_t seen = 0;
    if (__atomic_compare_exchange_n(&lock_word, &seen, 1, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
        return;
    if (seen != 2) seen = __atomic_exchange_n(&lock_word, 2, __ATOMIC_SEQ_CST);
    while (seen != 0) {
        futex(&lock_word, FUTEX_WAIT_PRIVATE, 2, NULL, NULL, 0);
        seen = __atomic_exchange_n(&lock_word, 2, __ATOMIC_SEQ_CST);
    }
}

static void unlock_it(void) {
    if (__atomic_exchange_n(&lock_word, 0, __ATOMIC_SEQ_CST) == 2)
        futex(&lock_word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void* count(void* arg) {
    for (int i = 0; i < 100; i++) {
        lock_it();
        long seen = counter;
        if (i % 10 == 0) sched_yield();
        counter = seen + 1;
        unlock_it();
    }
    return arg;
}

static void own_lock(void) {
    puts("--- a lock of one's own");
    pthread_t thread[10];
    for (int i = 0; i < 10; i++) thread[i] = spawn(count, NULL);
    for (int i = 0; i < 10; i++) finish(thread[i]);
    SHOW_LONG(counter);
}

static void nonsense(void) {
    puts("--- nonsense");
    SHOW(futex((uint32_t*)((char*)&word + 1), FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0));
    SHOW(futex((uint32_t*)((char*)&word + 1), FUTEX_WAKE_PRIVATE, 0, NULL, NULL, 0));
    SHOW(futex(&word, 99, 0, NULL, NULL, 0));
}

int main(void) {
    waiting_and_waking();
    timeouts();
    bit_sets();
    requeueing();
    wake_op();
    own_lock();
    nonsense();
    return 0;
}
