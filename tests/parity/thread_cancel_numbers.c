/* A call by syscall(2) is no cancellation point: a futex wait and a read go on when their thread is
 * cancelled, until the next point; unless the thread is cancelled asynchronously. A handler that
 * runs meanwhile may well meet one.
 *
 * PARITY: switches=6 threads=3 */
#include "thread.h"

#include <linux/futex.h>
#include <signal.h>
#include <sys/syscall.h>

static uint32_t word;
static int ends[2];
static const char* reached_here;

static void leaves(void* arg) {
    (void)arg;
    printf("left, %s\n", reached_here);
    fflush(stdout);
}

static void* by_number(void* arg) {
    char byte;
    pthread_cleanup_push(leaves, NULL);
    CHECK(syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0) == 0);
    reached_here = "woken";
    CHECK(syscall(SYS_read, ends[0], &byte, 1) == 1);
    reached_here = "after a read";
    pthread_testcancel();
    reached_here = "never";
    pthread_cleanup_pop(1);
    return arg;
}

static void* at_once(void* arg) {
    pthread_cleanup_push(leaves, NULL);
    CHECK(pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL) == 0);
    syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
    reached_here = "never";
    pthread_cleanup_pop(1);
    return arg;
}

static void handle(int signal) {
    (void)signal;
    reached_here = "in a handler";
    pthread_testcancel();
}

static pthread_t cancelled(void* (*body)(void*)) {
    reached_here = "at once";
    pthread_t thread = spawn(body, NULL);
    nap(30);
    SHOW(pthread_cancel(thread));
    nap(30);
    return thread;
}

static void end(pthread_t thread) { SHOW_YES(finish(thread) == PTHREAD_CANCELED); }

int main(void) {
    CHECK(pipe(ends) == 0);
    pthread_t thread = cancelled(by_number);
    CHECK(syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1) == 1);
    nap(30);
    CHECK(write(ends[1], "x", 1) == 1);
    end(thread);
    end(cancelled(at_once));
    signal(SIGUSR1, handle);
    thread = cancelled(by_number);
    CHECK(pthread_kill(thread, SIGUSR1) == 0);
    end(thread);
    return 0;
}
