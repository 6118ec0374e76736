/* pthread_once: the function runs once though a hundred threads call it and it waits on the way;
 * all return after it has ended; a cancelled run does not count, the next caller runs it; and once
 * within once on another control.
 *
 * PARITY: switches=150 threads=102
 */
#include "thread.h"

enum { threads = 100 };
static pthread_once_t control = PTHREAD_ONCE_INIT, inner = PTHREAD_ONCE_INIT;
static pthread_once_t cancelled = PTHREAD_ONCE_INIT;
static int outer_runs, inner_runs, cancelled_runs, ready;
static sem_t in_init;

static void init_inner(void) {
    nap(5);
    inner_runs++;
}

static void init_outer(void) {
    outer_runs++;
    CHECK(pthread_once(&inner, init_inner) == 0);
    nap(30);
    ready = 1;
}

static void* body(void* arg) {
    CHECK(pthread_once(&control, init_outer) == 0);
    CHECK(ready == 1 && inner_runs == 1);
    CHECK(pthread_once(&inner, init_inner) == 0);
    return arg;
}

static void init_cancelled(void) {
    if (cancelled_runs++ == 0) {
        sem_post(&in_init);
        sleep(1000); /* cancelled here */
    }
}

static void* first(void* arg) {
    pthread_once(&cancelled, init_cancelled);
    return arg;
}

int main(void) {
    pthread_t thread[threads];
    sem_init(&in_init, 0, 0);
    for (int i = 0; i < threads; i++) thread[i] = spawn(body, NULL);
    for (int i = 0; i < threads; i++) finish(thread[i]);
    SHOW_LONG(outer_runs);
    SHOW_LONG(inner_runs);

    thread[0] = spawn(first, NULL);
    sem_wait(&in_init);
    thread[1] = spawn(first, NULL); /* waits for the first, then runs it itself */
    nap(20);
    CHECK(pthread_cancel(thread[0]) == 0);
    SHOW_YES(finish(thread[0]) == PTHREAD_CANCELED);
    SHOW_YES(finish(thread[1]) == NULL);
    SHOW_LONG(cancelled_runs);
    SHOW(pthread_once(&cancelled, init_cancelled));
    SHOW_LONG(cancelled_runs);
    return 0;
}
