/* The joins that do not wait for ever: pthread_tryjoin_np, pthread_timedjoin_np and
 * pthread_clockjoin_np on both clocks. A join that timed out leaves the thread joinable.
 *
 * PARITY: switches=10 threads=5 timeout=20
 */
#include "thread.h"

static sem_t gate;

static void* wait_at_gate(void* arg) {
    sem_wait(&gate);
    return arg;
}

static void* nap_and_return(void* arg) {
    nap(30);
    return arg;
}

int main(void) {
    sem_init(&gate, 0, 0);
    void* result = NULL;
    struct timespec t;
    pthread_t thread = spawn(wait_at_gate, (void*)5L);

    SHOW(pthread_tryjoin_np(thread, &result));
    t = in_ms(CLOCK_REALTIME, 30);
    SHOW(pthread_timedjoin_np(thread, &result, &t));
    CHECK(reached(CLOCK_REALTIME, t));
    t = in_ms(CLOCK_REALTIME, -1000);
    SHOW(pthread_timedjoin_np(thread, &result, &t));
    t = in_ms(CLOCK_MONOTONIC, 30);
    SHOW(pthread_clockjoin_np(thread, &result, CLOCK_MONOTONIC, &t));
    CHECK(reached(CLOCK_MONOTONIC, t));
    t = in_ms(CLOCK_REALTIME, 30);
    SHOW(pthread_clockjoin_np(thread, &result, CLOCK_REALTIME, &t));
    CHECK(reached(CLOCK_REALTIME, t));
    SHOW(pthread_clockjoin_np(thread, &result, CLOCK_PROCESS_CPUTIME_ID, &t));
    SHOW(pthread_tryjoin_np(pthread_self(), NULL));
    t = in_ms(CLOCK_REALTIME, 30);
    SHOW(pthread_timedjoin_np(pthread_self(), NULL, &t));

    sem_post(&gate);
    t = in_ms(CLOCK_MONOTONIC, 60000);
    SHOW(pthread_clockjoin_np(thread, &result, CLOCK_MONOTONIC, &t));
    SHOW_LONG(result);

    thread = spawn(nap_and_return, (void*)6L);
    t = in_ms(CLOCK_REALTIME, 60000);
    SHOW(pthread_timedjoin_np(thread, &result, &t));
    SHOW_LONG(result);

    thread = spawn(nap_and_return, (void*)7L);
    SHOW(pthread_timedjoin_np(thread, &result, NULL)); /* no deadline: a plain join */
    SHOW_LONG(result);

    /* an ended thread is joined whatever the deadline says */
    thread = spawn(nap_and_return, (void*)8L);
    int error;
    while ((error = pthread_tryjoin_np(thread, &result)) == EBUSY) nap(5);
    SHOW(error);
    SHOW_LONG(result);
    thread = spawn(nap_and_return, (void*)9L);
    nap(200);
    t = in_ms(CLOCK_REALTIME, -1000);
    SHOW(pthread_timedjoin_np(thread, &result, &t));
    SHOW_LONG(result);
    return 0;
}
