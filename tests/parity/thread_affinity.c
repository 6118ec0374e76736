/* CPU affinity of single threads: each has its own mask, inherits its maker's, runs where it says,
 * and is told so; attributes carry one; an impossible one fails the call and changes nothing.
 *
 * PARITY: switches=4 threads=3
 */
#include "thread.h"

static cpu_set_t start;
static sem_t gate, ready;

static int cpus_of(pthread_t thread) {
    cpu_set_t set;
    CHECK(pthread_getaffinity_np(thread, sizeof set, &set) == 0);
    return CPU_COUNT(&set);
}

static void pin(cpu_set_t* one, int which) {
    CPU_ZERO(one);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (CPU_ISSET(cpu, &start) && which-- == 0) CPU_SET(cpu, one);
    }
}

static void* pinned(void* arg) {
    cpu_set_t one, got;
    pin(&one, *(int*)arg);
    SHOW(sched_setaffinity(0, sizeof one, &one));
    CHECK(sched_getaffinity(gettid(), sizeof got, &got) == 0);
    SHOW_YES(CPU_EQUAL(&one, &got));
    int elsewhere = 0;
    for (int i = 0; i < 1000; i++) {
        elsewhere += !CPU_ISSET(sched_getcpu(), &one);
        if (i % 100 == 0) sched_yield();
    }
    printf("%d times elsewhere\n", elsewhere);
    sem_post(&ready);
    sem_wait(&gate);
    return NULL;
}

static void* inherits(void* arg) {
    printf("a thread of a pinned one has %d\n", cpus_of(pthread_self()));
    return arg;
}

static void* by_attributes(void* arg) {
    printf("by attributes %d\n", cpus_of(pthread_self()));
    finish(spawn(inherits, NULL));
    return arg;
}

int main(void) {
    CHECK(sched_getaffinity(0, sizeof start, &start) == 0);
    sem_init(&gate, 0, 0);
    sem_init(&ready, 0, 0);
    int last = CPU_COUNT(&start) - 1;
    pthread_t thread = spawn(pinned, &last);
    sem_wait(&ready);
    printf("main sees %d of its, and has all: %d\n", cpus_of(thread),
           cpus_of(pthread_self()) == CPU_COUNT(&start));
    sem_post(&gate);
    finish(thread);

    pthread_attr_t attr;
    cpu_set_t one;
    pthread_attr_init(&attr);
    pin(&one, 0);
    SHOW(pthread_attr_setaffinity_np(&attr, sizeof one, &one));
    SHOW(pthread_create(&thread, &attr, by_attributes, NULL));
    finish(thread);
    CPU_ZERO(&one);
    CPU_SET(CPU_SETSIZE - 1, &one);
    SHOW(pthread_attr_setaffinity_np(&attr, sizeof one, &one));
    SHOW(pthread_create(&thread, &attr, by_attributes, NULL));
    SHOW(pthread_setaffinity_np(pthread_self(), sizeof one, &one));
    SHOW_YES(cpus_of(pthread_self()) == CPU_COUNT(&start));
    return 0;
}
