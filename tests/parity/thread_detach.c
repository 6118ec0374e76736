/* Detached threads: by attribute, by pthread_detach from outside and from inside, while running and
 * after the end; joining one is refused; they run on by themselves.
 *
 * PARITY: switches=50 threads=53
 */
#include "thread.h"

static sem_t gate, done;

static void* wait_at_gate(void* arg) {
    sem_wait(&gate);
    sem_post(&done);
    return arg;
}

static void* detach_oneself(void* arg) {
    CHECK(pthread_detach(pthread_self()) == 0);
    CHECK(pthread_detach(pthread_self()) == EINVAL);
    CHECK(pthread_join(pthread_self(), NULL) == EINVAL);
    sem_post(&done);
    return arg;
}

static void* quick(void* arg) { return arg; }

int main(void) {
    sem_init(&gate, 0, 0);
    sem_init(&done, 0, 0);

    pthread_attr_t attr;
    pthread_attr_init(&attr);
    SHOW(pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED));
    pthread_t thread;
    SHOW(pthread_create(&thread, &attr, wait_at_gate, NULL));
    SHOW(pthread_join(thread, NULL));
    SHOW(pthread_tryjoin_np(thread, NULL));
    SHOW(pthread_detach(thread));
    sem_post(&gate);
    sem_wait(&done);

    thread = spawn(wait_at_gate, NULL);
    SHOW(pthread_detach(thread));
    SHOW(pthread_detach(thread));
    SHOW(pthread_join(thread, NULL));
    sem_post(&gate);
    sem_wait(&done);

    thread = spawn(quick, NULL);
    nap(50);
    SHOW(pthread_detach(thread)); /* after its end: this frees it */

    for (int i = 0; i < 50; i++) spawn(detach_oneself, NULL);
    for (int i = 0; i < 50; i++) sem_wait(&done);
    puts("50 detached themselves");
    return 0;
}
