/* Asynchronous cancellation: a thread that only computes is ended in the middle of its loop, and
 * one that became asynchronous while a cancellation was pending ends there.
 *
 * PARITY: switches=6 threads=3 timeout=20
 */
#include "thread.h"

static sem_t ready, go;
static volatile unsigned long counter;

static void say(void* text) { puts(text); }

static void* compute(void* arg) {
    int old = -1;
    pthread_cleanup_push(say, "handler");
    CHECK(pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &old) == 0);
    CHECK(old == PTHREAD_CANCEL_DEFERRED);
    sem_post(&ready);
    for (;;) counter++;
    pthread_cleanup_pop(0);
    return arg;
}

static void* wait_somewhere(void* arg) {
    pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
    sem_post(&ready);
    sleep(1000);
    return arg;
}

static void* pending(void* arg) {
    sem_post(&ready);
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    while (sem_wait(&go) != 0) {
    }
    pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
    puts("disabled");
    pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
    puts("not reached");
    return arg;
}

static void run(const char* title, void* (*body)(void*)) {
    printf("--- %s\n", title);
    pthread_t thread = spawn(body, NULL);
    sem_wait(&ready);
    nap(20);
    int error = pthread_cancel(thread);
    sem_post(&go);
    SHOW_YES(finish(thread) == PTHREAD_CANCELED);
    printf("pthread_cancel: %s\n", result_name(error));
}

int main(void) {
    sem_init(&ready, 0, 0);
    sem_init(&go, 0, 0);
    run("asleep", wait_somewhere);
    while (sem_trywait(&go) == 0) {
    }
    run("pending", pending);
    run("computing", compute);
    return 0;
}
