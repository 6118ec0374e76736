/* A thread's own number (gettid) where the kernel itself looks it up: its folder below
 * /proc/self/task, and a timer that signals this thread (SIGEV_THREAD_ID); for another thread and
 * the main thread.
 *
 * PARITY: switches=1 threads=1 timeout=20
 */
#include "thread.h"

#include <signal.h>

#ifndef sigev_notify_thread_id
#    define sigev_notify_thread_id _sigev_un._tid
#endif

static int handled;
static pthread_t handled_in;

static void count(int number) {
    (void)number;
    handled_in = pthread_self();
    __atomic_add_fetch(&handled, 1, __ATOMIC_SEQ_CST);
}

static void* use_number(void* who) {
    struct sigevent event;
    struct itimerspec when = {{0, 0}, {0, 1000000}};
    char path[64];
    timer_t timer;
    puts(who);
    snprintf(path, sizeof path, "/proc/self/task/%d/stat", (int)gettid());
    SHOW(access(path, R_OK));
    memset(&event, 0, sizeof event);
    event.sigev_notify = SIGEV_THREAD_ID;
    event.sigev_signo = SIGUSR1;
    event.sigev_notify_thread_id = gettid();
    handled = 0;
    int error = timer_create(CLOCK_MONOTONIC, &event, &timer);
    printf("timer_create: %s\n", result_name(error));
    if (error != 0) return NULL;
    SHOW(timer_settime(timer, 0, &when, NULL));
    while (!__atomic_load_n(&handled, __ATOMIC_SEQ_CST)) nap(1);
    SHOW(timer_delete(timer));
    SHOW_LONG(handled);
    SHOW_YES(pthread_equal(handled_in, pthread_self()));
    return NULL;
}

int main(void) {
    struct sigaction action = {.sa_handler = count, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
    use_number("--- main, alone");
    finish(spawn(use_number, "--- a thread"));
    use_number("--- main");
    return 0;
}
