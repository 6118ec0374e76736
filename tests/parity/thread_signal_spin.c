/* A thread that waits for a spin lock handles its signals, and may leave from the handler.
 *
 * PARITY: switches=4 threads=1
 */
#include "thread.h"

#include <signal.h>

static pthread_spinlock_t lock;
static volatile int handled;
static sem_t gate;

static void on_signal(int signal) {
    (void)signal;
    if (++handled == 2) pthread_exit(&gate);
}

static void* body(void* arg) {
    sem_post(&gate);
    pthread_spin_lock(&lock);
    return arg;
}

int main(void) {
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGUSR1, &action, NULL);
    sem_init(&gate, 0, 0);
    pthread_spin_init(&lock, PTHREAD_PROCESS_PRIVATE);
    pthread_spin_lock(&lock);
    pthread_t thread = spawn(body, NULL);
    sem_wait(&gate);
    nap(10);
    pthread_kill(thread, SIGUSR1);
    while (handled == 0) nap(1);
    puts("handled, and it spins on");
    pthread_kill(thread, SIGUSR1);
    SHOW_YES(finish(thread) == &gate);
    return 0;
}
