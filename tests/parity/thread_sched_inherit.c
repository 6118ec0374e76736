/* A thread inherits the scheduling that its maker has, from before the first thread too, unless its
 * attributes say otherwise.
 *
 * PARITY: switches=2 threads=1
 */
#include "thread.h"

static void* body(void* arg) {
    struct sched_param param = {-1};
    int policy = -1;
    SHOW(pthread_getschedparam(pthread_self(), &policy, &param));
    printf("%s: policy %d priority %d\n", (const char*)arg, policy, param.sched_priority);
    return NULL;
}

static void set(int policy) {
    struct sched_param param = {0};
    SHOW(pthread_setschedparam(pthread_self(), policy, &param));
}

int main(void) {
    pthread_attr_t attr;
    pthread_t thread;
    set(SCHED_BATCH);
    finish(spawn(body, "batch"));
    set(SCHED_OTHER);
    finish(spawn(body, "other"));
    set(SCHED_BATCH);
    pthread_attr_init(&attr);
    pthread_attr_setschedpolicy(&attr, SCHED_OTHER);
    pthread_attr_setinheritsched(&attr, PTHREAD_EXPLICIT_SCHED);
    CHECK(pthread_create(&thread, &attr, body, "explicit") == 0);
    finish(thread);
    finish(spawn(body, "batch again"));
    return 0;
}
