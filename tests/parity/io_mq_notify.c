/* mq_notify: a thread of libc's own runs the function when a message comes, while the program's
 * threads wait for what it does: a semaphore, a mutex, a condition variable, a message sent back.
 *
 * PARITY: switches=3 threads=1 kernel_threads=9 */
#include "parity.h"

#include <mqueue.h>
#include <semaphore.h>

static mqd_t queue, back;
static sem_t told;

static void on_message(union sigval value) {
    char text[16] = "";
    SAME(mq_receive(queue, text, sizeof text, NULL), 6);
    SAME(strcmp(text, "hello"), 0);
    SAME(mq_send(back, value.sival_ptr, strlen(value.sival_ptr) + 1, 0), 0);
    SAME(sem_post(&told), 0);
}

static void* send_later(void* unused) {
    sleep_ms(20);
    SAME(mq_send(queue, "hello", 6, 0), 0);
    return unused;
}

static mqd_t make(const char* which) {
    char name[64];
    struct mq_attr attributes = {.mq_maxmsg = 2, .mq_msgsize = 16};
    snprintf(name, sizeof name, "/parity-notify-%s-%d", which, getpid());
    mqd_t made = mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, &attributes);
    CHECK(made >= 0);
    SAME(mq_unlink(name), 0);
    return made;
}

int main(void) {
    char text[16] = "";
    pthread_t sender;
    struct sigevent event = {.sigev_notify = SIGEV_THREAD};
    event.sigev_notify_function = on_message;
    event.sigev_value.sival_ptr = (void*)"and back";
    queue = make("there");
    back = make("back");
    SAME(sem_init(&told, 0, 0), 0);
    for (int round = 0; round < 3; ++round) {
        SAME(mq_notify(queue, &event), 0);
        SAME(pthread_create(&sender, NULL, send_later, NULL), 0);
        SAME(sem_wait(&told), 0);
        SAME(mq_receive(back, text, sizeof text, NULL), 9);
        say("%s", text);
        SAME(pthread_join(sender, NULL), 0);
    }
    SAME(mq_notify(queue, &event), 0);
    FAILS(mq_notify(queue, &event), EBUSY);
    SAME(mq_notify(queue, NULL), 0);
    return 0;
}
