/* Nice values and policies of threads, which Linux keeps for each of them: what one sets for itself
 * by its id, by 0, by nice(3), another is not told; a child inherits it. What is not allowed, and
 * real-time policies, where the system lets one try.
 *
 * PARITY: switches=4 threads=3 */
#include "thread.h"

#include <sys/resource.h>
#include <sys/syscall.h>

static void look(const char* who) {
    struct sched_param p = {-1};
    SHOW(sched_getparam(0, &p));
    printf("%s: nice %d, by id %d, policy %d, priority %d\n", who, getpriority(PRIO_PROCESS, 0),
           getpriority(PRIO_PROCESS, (id_t)gettid()), sched_getscheduler(0), p.sched_priority);
    printf("by number: %ld %ld\n", syscall(SYS_getpriority, PRIO_PROCESS, 0),
           syscall(SYS_sched_getscheduler, gettid()));
    fflush(stdout);
}

static void* be_nice(void* arg) {
    SHOW(setpriority(PRIO_PROCESS, (id_t)gettid(), 7));
    look("a nice thread");
    pid_t child = fork();
    if (child == 0) {
        look("its child");
        _exit(0);
    }
    CHECK(child_status(child) == 0);
    printf("nicer: %d\n", nice(3));
    look("a nicer thread");
    return arg;
}

static void* in_batches(void* arg) {
    struct sched_param p = {0};
    int policy = -1;
    SHOW(sched_setscheduler(0, SCHED_BATCH, &p));
    look("a batch thread");
    SHOW(pthread_getschedparam(pthread_self(), &policy, &p));
    printf("policy %d\n", policy);
    p.sched_priority = 3;
    SHOW(sched_setparam(0, &p));
    return arg;
}

/* Whether that is allowed depends on who asks; but everywhere it is the same. */
static void* in_real_time(void* arg) {
    struct sched_param p = {5};
    SHOW(pthread_setschedparam(pthread_self(), SCHED_FIFO, &p));
    look("a thread that would be in real time");
    return arg;
}

static void* nothing(void* arg) { return arg; }

int main(void) {
    finish(spawn(be_nice, NULL));
    finish(spawn(in_batches, NULL));
    finish(spawn(in_real_time, NULL));
    look("main");
    fflush(stdout);
    pid_t child = fork();
    if (child != 0) return child_status(child);
    if (getuid() == 0 && setresuid(65534, 65534, 65534) != 0) return 1;
    pthread_attr_t attr;
    struct sched_param p = {5};
    pthread_t thread;
    pthread_attr_init(&attr);
    pthread_attr_setinheritsched(&attr, PTHREAD_EXPLICIT_SCHED);
    pthread_attr_setschedpolicy(&attr, SCHED_RR);
    pthread_attr_setschedparam(&attr, &p);
    int error = pthread_create(&thread, &attr, nothing, NULL);
    printf("in real time: %s\n", result_name(error));
    if (error == 0) finish(thread);
    finish(spawn(in_real_time, NULL));
    finish(spawn(be_nice, NULL));
    return 0;
}
