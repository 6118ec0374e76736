/* A notification's thread, which is libc's own, forks: the child handles its signals and may make
 * threads, as a program that has just begun.
 *
 * PARITY: switches=2 threads=1 kernel_threads=3 */
#include "parity.h"

#include <mqueue.h>

static volatile int signals, done;

static void count(int number) {
    (void)number;
    signals++;
}

static void* body(void* argument) {
    sleep_ms(1);
    return argument;
}

static void make_child(union sigval value) {
    int status;
    sigset_t none;
    (void)value;
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        sigemptyset(&none);
        SAME(sigprocmask(SIG_SETMASK, &none, NULL), 0);
        SAME(raise(SIGUSR1), 0);
        SAME(signals, 1);
        join(start(body, NULL));
        SAME(raise(SIGUSR1), 0);
        _exit(signals);
    }
    SAME(waitpid(child, &status, 0), child);
    say("exited %d, with %d", WIFEXITED(status), WEXITSTATUS(status));
    done = 1;
}

int main(void) {
    struct sigaction action = {.sa_handler = count};
    struct mq_attr attributes = {.mq_maxmsg = 2, .mq_msgsize = 8};
    struct sigevent event = {.sigev_notify = SIGEV_THREAD, .sigev_notify_function = make_child};
    char name[64];
    SAME(sigaction(SIGUSR1, &action, NULL), 0);
    join(start(body, NULL));
    snprintf(name, sizeof name, "/parity-%d", (int)getpid());
    mqd_t queue = mq_open(name, O_CREAT | O_RDWR, 0600, &attributes);
    CHECK(queue >= 0);
    SAME(mq_unlink(name), 0);
    SAME(mq_notify(queue, &event), 0);
    SAME(mq_send(queue, "x", 1, 0), 0);
    while (!done) sleep_ms(1);
    return 0;
}
