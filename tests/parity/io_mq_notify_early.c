/* The program's first thread is made while a thread of libc's own (mq_notify) is busy in libc: it
 * goes on undisturbed. Tried in many processes, one after another.
 *
 * PARITY: switches=1 threads=1 kernel_threads=2 */
#include "parity.h"

#include <mqueue.h>

static long busy, enough;

static void on_message(union sigval value) {
    (void)value;
    set_to(&busy, 1);
    char text[64];
    for (int i = 0; !value_of(&enough); i++) {
        snprintf(text, sizeof text, "%d", i);
        CHECK(atoi(text) == i);
    }
    set_to(&busy, 2);
}

static void* nothing(void* argument) { return argument; }

enum { PROCESSES = 40 };

static void make_first_thread(void) {
    char name[64];
    struct mq_attr attributes = {.mq_maxmsg = 2, .mq_msgsize = 16};
    snprintf(name, sizeof name, "/parity-early-%d", getpid());
    mqd_t queue = mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, &attributes);
    CHECK(queue >= 0);
    SAME(mq_unlink(name), 0);
    struct sigevent event = {.sigev_notify = SIGEV_THREAD};
    event.sigev_notify_function = on_message;
    SAME(mq_notify(queue, &event), 0);
    SAME(mq_send(queue, "hello", 6, 0), 0);
    wait_for(&busy, 1);
    join(start(nothing, NULL));
    set_to(&enough, 1);
    wait_for(&busy, 2);
}

int main(void) {
    int status;
    for (int i = 0; i < PROCESSES; i++) {
        pid_t child = fork();
        if (child == 0) {
            make_first_thread();
            _exit(3);
        }
        SAME(waitpid(child, &status, 0), child);
        CHECK(WIFEXITED(status));
        SAME(WEXITSTATUS(status), 3);
    }
    make_first_thread();
    say("both went on");
    return 0;
}
