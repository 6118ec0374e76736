/* What a signal's handler does to those who wait for a semaphore: sem_wait goes on after one with
 * SA_RESTART, sem_timedwait and sem_clockwait never do.
 *
 * PARITY: threads=6 */
#include "parity.h"

#include <semaphore.h>

static sem_t semaphore;
static long handled;

static void handle(int signal) {
    (void)signal;
    add_to(&handled, 1);
}

static void* wait_once(void* how) {
    struct timespec t;
    int r;
    if ((intptr_t)how == 2) {
        clock_gettime(CLOCK_MONOTONIC, &t);
        t.tv_sec += 100;
        r = sem_clockwait(&semaphore, CLOCK_MONOTONIC, &t);
    } else {
        clock_gettime(CLOCK_REALTIME, &t);
        t.tv_sec += 100;
        r = (intptr_t)how == 1 ? sem_timedwait(&semaphore, &t) : sem_wait(&semaphore);
    }
    return (void*)(intptr_t)(r == 0 ? 0 : errno);
}

int main(void) {
    static const char* const names[] = {"sem_wait", "sem_timedwait", "sem_clockwait"};
    SAME(sem_init(&semaphore, 0, 0), 0);
    for (int flags = 0; flags <= SA_RESTART; flags += SA_RESTART) {
        struct sigaction action = {.sa_handler = handle, .sa_flags = flags};
        SAME(sigaction(SIGUSR1, &action, NULL), 0);
        for (intptr_t how = 0; how < 3; ++how) {
            pthread_t waiter = start(wait_once, (void*)how);
            set_to(&handled, 0);
            sleep_ms(20);
            SAME(pthread_kill(waiter, SIGUSR1), 0);
            wait_for(&handled, 1);
            sleep_ms(20);
            SAME(sem_post(&semaphore), 0);
            say("%s %s SA_RESTART: %s", names[how], flags == 0 ? "without" : "with",
                parity_errno_name((int)(intptr_t)join(waiter)));
            while (sem_trywait(&semaphore) == 0) continue;
        }
    }
    return 0;
}
