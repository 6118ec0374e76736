/* Scheduling parameters, affinity and CPU clocks of single threads: glibc asks the kernel about the
 * thread's id for each of these, of oneself and of another thread.
 *
 * PARITY: switches=2 threads=1
 */
#include "thread.h"

static sem_t gate;

static void look(const char* who, pthread_t thread) {
    struct sched_param param = {-1};
    int policy = -1;
    cpu_set_t cpus, own;
    clockid_t clock;
    struct timespec t = {-1, -1};
    printf("%s\n", who);
    SHOW(pthread_getschedparam(thread, &policy, &param));
    printf("policy %d priority %d\n", policy, param.sched_priority);
    SHOW(pthread_setschedparam(thread, SCHED_OTHER, &param));
    SHOW(pthread_setschedprio(thread, 0));
    SHOW(pthread_setschedprio(thread, 200));
    SHOW(pthread_getaffinity_np(thread, sizeof cpus, &cpus));
    CHECK(sched_getaffinity(0, sizeof own, &own) == 0);
    SHOW_YES(CPU_EQUAL(&cpus, &own));
    SHOW(pthread_setaffinity_np(thread, sizeof cpus, &cpus));
    SHOW(pthread_getcpuclockid(thread, &clock));
    SHOW(clock_gettime(clock, &t));
    SHOW_YES(t.tv_sec >= 0 && t.tv_nsec >= 0);
}

static void* body(void* arg) {
    look("a thread, of itself", pthread_self());
    sem_post(arg);
    sem_wait(&gate);
    return NULL;
}

int main(void) {
    sem_t ready;
    sem_init(&ready, 0, 0);
    sem_init(&gate, 0, 0);
    look("main, of itself", pthread_self());
    pthread_t thread = spawn(body, &ready);
    sem_wait(&ready);
    look("main, of the thread", thread);
    sem_post(&gate);
    finish(thread);
    return 0;
}
