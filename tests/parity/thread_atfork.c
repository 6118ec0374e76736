/* pthread_atfork: prepare handlers last registered first, parent and child handlers in order, in
 * the thread that forks, whichever it is; the usual use, a mutex taken before and released on both
 * sides, while other threads fight for that mutex and the prepare handler has to wait for it.
 *
 * PARITY: switches=20 threads=6
 */
#include "thread.h"

static char order[200];
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_t handler_thread;
static int stop;

static void prepare_1(void) { strcat(order, " prepare1"); }
static void parent_1(void) { strcat(order, " parent1"); }
static void child_1(void) { strcat(order, " child1"); }

static void prepare_2(void) {
    CHECK(pthread_mutex_lock(&mutex) == 0);
    handler_thread = pthread_self();
    strcat(order, " prepare2");
}
static void parent_2(void) {
    strcat(order, " parent2");
    CHECK(pthread_mutex_unlock(&mutex) == 0);
}
static void child_2(void) {
    strcat(order, " child2");
    CHECK(pthread_mutex_unlock(&mutex) == 0);
}

static void* use_mutex(void* arg) {
    while (!__atomic_load_n(&stop, __ATOMIC_SEQ_CST)) {
        CHECK(pthread_mutex_lock(&mutex) == 0);
        usleep(500); /* a fork finds it held, most of the time */
        CHECK(pthread_mutex_unlock(&mutex) == 0);
        sched_yield();
    }
    return arg;
}

static void* fork_here(void* arg) {
    order[0] = 0;
    fflush(stdout);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        CHECK(pthread_equal(handler_thread, pthread_self()));
        CHECK(pthread_mutex_trylock(&mutex) == 0); /* nobody else lives here */
        printf("in the child:%s\n", order);
        fflush(stdout);
        _exit(11);
    }
    CHECK(pthread_equal(handler_thread, pthread_self()));
    CHECK(child_status(child) == 11);
    printf("in the parent:%s\n", order);
    return arg;
}

int main(void) {
    SHOW(pthread_atfork(prepare_1, parent_1, child_1));
    SHOW(pthread_atfork(prepare_2, parent_2, child_2));
    SHOW(pthread_atfork(NULL, NULL, NULL));
    pthread_t thread[4];
    for (int i = 0; i < 4; i++) thread[i] = spawn(use_mutex, NULL);
    nap(5);
    puts("--- main forks");
    fork_here(NULL);
    puts("--- a thread forks");
    finish(spawn(fork_here, NULL));
    finish(spawn(fork_here, NULL));
    __atomic_store_n(&stop, 1, __ATOMIC_SEQ_CST);
    for (int i = 0; i < 4; i++) finish(thread[i]);
    return 0;
}
