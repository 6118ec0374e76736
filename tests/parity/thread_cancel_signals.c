/* The cancellation points of the signal family: pause, sigsuspend, sigwait, sigwaitinfo,
 * sigtimedwait.
 *
 * PARITY: switches=20 threads=10 timeout=20
 */
#include "thread.h"

#include <signal.h>

static sem_t ready, go;
static sigset_t set;

static void in_pause(void) { pause(); }
static void in_sigsuspend(void) {
    sigset_t none;
    sigemptyset(&none);
    sigsuspend(&none);
}
static void in_sigwait(void) {
    int number;
    sigwait(&set, &number);
}
static void in_sigwaitinfo(void) { sigwaitinfo(&set, NULL); }
static void in_sigtimedwait(void) { sigtimedwait(&set, NULL, &(struct timespec){100000, 0}); }

static void* wait_in(void* arg) {
    sem_post(&ready);
    (*(void (**)(void))arg)();
    return NULL;
}

static void* enter_pending(void* arg) {
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    sem_post(&ready);
    while (sem_wait(&go) != 0) {
    }
    pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
    (*(void (**)(void))arg)();
    return NULL;
}

int main(void) {
    static const char* const names[] = {"pause", "sigsuspend", "sigwait", "sigwaitinfo",
                                        "sigtimedwait"};
    static void (*const calls[])(void) = {in_pause, in_sigsuspend, in_sigwait, in_sigwaitinfo,
                                          in_sigtimedwait};
    sem_init(&ready, 0, 0);
    sem_init(&go, 0, 0);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    for (int i = 0; i < 5; i++) {
        void* call = (void*)&calls[i];
        pthread_t thread = spawn(wait_in, call);
        sem_wait(&ready);
        nap(10);
        CHECK(pthread_cancel(thread) == 0);
        int cancelled = finish(thread) == PTHREAD_CANCELED;
        thread = spawn(enter_pending, call);
        sem_wait(&ready);
        CHECK(pthread_cancel(thread) == 0);
        sem_post(&go);
        int pending = finish(thread) == PTHREAD_CANCELED;
        printf("%s: %d, pending: %d\n", names[i], cancelled, pending);
    }
    return 0;
}
