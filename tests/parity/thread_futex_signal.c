/* A futex's word changes, and is woken, while the one that waits for it runs a signal handler which
 * waits too. The call begins again after the handler and finds the word changed.
 *
 * PARITY: threads=1 switches=5
 */
#include "thread.h"

#include <linux/futex.h>
#include <signal.h>
#include <sys/syscall.h>

static uint32_t word;
static sem_t in_handler, leave_handler;

static void handler(int signal) {
    (void)signal;
    sem_post(&in_handler);
    while (sem_wait(&leave_handler) != 0) CHECK(errno == EINTR);
}

static void* wait_for_word(void* operation) {
    long r = syscall(SYS_futex, &word, (int)(long)operation, 0, NULL, NULL, ~0U);
    printf("waited: %ld %s\n", r, r == 0 ? "" : strerrorname_np(errno));
    return NULL;
}

static void change_during_handler(int operation) {
    __atomic_store_n(&word, 0, __ATOMIC_SEQ_CST);
    pthread_t thread = spawn(wait_for_word, (void*)(long)operation);
    nap(50);
    CHECK(pthread_kill(thread, SIGUSR1) == 0);
    CHECK(sem_wait(&in_handler) == 0);
    __atomic_store_n(&word, 1, __ATOMIC_SEQ_CST);
    SHOW_LONG(syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0));
    sem_post(&leave_handler);
    finish(thread);
}

int main(void) {
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
    CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
    CHECK(sem_init(&in_handler, 0, 0) == 0 && sem_init(&leave_handler, 0, 0) == 0);
    change_during_handler(FUTEX_WAIT_PRIVATE);
    change_during_handler(FUTEX_WAIT_BITSET_PRIVATE);
    return 0;
}
