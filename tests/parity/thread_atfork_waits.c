/* Handlers of pthread_atfork that wait: while one before the fork or after it in the parent sleeps,
 * the other threads go on; in the child there are no other threads, so none of them moves while the
 * child's handler sleeps, not even once.
 *
 * PARITY: switches=20 threads=3 */
#include "parity.h"

static long in_prepare, in_parent;

static void before(void) {
    wait_ticks(5);
    in_prepare++;
}

static void after_in_parent(void) {
    wait_ticks(5);
    in_parent++;
}

static void after_in_child(void) {
    long then = ticks();
    sleep_ms(50);
    SAME(ticks(), then);
}

static void* in_child(void* argument) {
    usleep(1000);
    return argument;
}

static void fork_once(const char* who) {
    int status = 0;
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        long then = ticks();
        sleep_ms(20);
        join(start(in_child, NULL));
        SAME(ticks(), then);
        SAME(in_parent, 0);
        _exit((int)in_prepare);
    }
    SAME(waitpid(child, &status, 0), child);
    CHECK(WIFEXITED(status));
    say("%s: child %d, prepare %ld, parent %ld", who, WEXITSTATUS(status), in_prepare, in_parent);
    in_parent = 0;
}

static void* fork_in_thread(void* argument) {
    fork_once(argument);
    return NULL;
}

int main(void) {
    SAME(pthread_atfork(before, after_in_parent, after_in_child), 0);
    start_ticking();
    fork_once("main");
    join(start(fork_in_thread, "a thread"));
    join(start(fork_in_thread, "another"));
    stop_ticking();
    return 0;
}
