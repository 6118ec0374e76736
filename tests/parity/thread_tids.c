/* A thread's own number (gettid) in the calls which take one: affinity, priority, scheduling,
 * limits, kill, tgkill and tkill, by function and by number; for the main thread and others, whose
 * numbers all differ.
 *
 * PARITY: switches=1 threads=4 timeout=20
 */
#include "thread.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

static int handled;
static sem_t together;

static void count(int number) {
    (void)number;
    __atomic_add_fetch(&handled, 1, __ATOMIC_SEQ_CST);
}

static void wait_for_count(int value) {
    while (__atomic_load_n(&handled, __ATOMIC_SEQ_CST) < value) nap(1);
}

static void use_number(pid_t tid) {
    cpu_set_t cpus;
    struct sched_param parameters;
    SHOW(sched_getaffinity(tid, sizeof cpus, &cpus));
    SHOW_YES(CPU_COUNT(&cpus) > 0);
    SHOW(sched_setaffinity(tid, sizeof cpus, &cpus));
    SHOW_LONG(getpriority(PRIO_PROCESS, (id_t)tid));
    SHOW(setpriority(PRIO_PROCESS, (id_t)tid, 0));
    SHOW_LONG(sched_getscheduler(tid));
    SHOW(sched_getparam(tid, &parameters));
    SHOW_LONG(parameters.sched_priority);
    int* ends = NULL; /* where the kernel clears the number at the thread's end */
    SHOW(prctl(PR_GET_TID_ADDRESS, &ends));
    SHOW_YES(syscall(SYS_set_tid_address, ends) == tid);
    SHOW(tgkill(getpid(), tid, 0));
    SHOW(syscall(SYS_tgkill, getpid(), tid, 0));
    SHOW(syscall(SYS_tkill, tid, 0));
    struct { /* what sched_getattr(2) tells */
        uint32_t size, policy;
        uint64_t more[10];
    } attributes = {0, 0, {0}};
    SHOW(syscall(SYS_sched_getattr, tid, &attributes, sizeof attributes, 0));
    SHOW(syscall(SYS_sched_setattr, tid, &attributes, 0));
    SHOW_YES(syscall(SYS_sched_getaffinity, tid, sizeof cpus, &cpus) > 0);
    SHOW_LONG(syscall(SYS_sched_getscheduler, tid));
    SHOW_LONG(syscall(SYS_getpriority, PRIO_PROCESS, tid));
    SHOW(syscall(SYS_setpriority, PRIO_PROCESS, tid, 0));
    SHOW_YES(syscall(SYS_ioprio_get, 1, tid) >= 0);
    struct rlimit limit;
    SHOW(prlimit(tid, RLIMIT_NOFILE, NULL, &limit));
    handled = 0;
    SHOW(kill(tid, 0));
    SHOW(tgkill(getpid(), tid, SIGUSR1));
    wait_for_count(1);
    SHOW(syscall(SYS_tgkill, getpid(), tid, SIGUSR1));
    wait_for_count(2);
    SHOW_LONG(handled);
}

static void* in_a_thread(void* arg) {
    CHECK(gettid() == syscall(SYS_gettid));
    SHOW_YES(gettid() == getpid());
    use_number(gettid());
    return arg;
}

static void* say_number(void* number) {
    *(pid_t*)number = gettid();
    while (sem_wait(&together) != 0) CHECK(errno == EINTR);
    return NULL;
}

int main(void) {
    struct sigaction action = {.sa_handler = count, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
    CHECK(sem_init(&together, 0, 0) == 0);
    puts("--- a thread");
    finish(spawn(in_a_thread, NULL));
    puts("--- main");
    SHOW_YES(gettid() == getpid());
    use_number(gettid());

    volatile pid_t number[3] = {0, 0, 0};
    pthread_t thread[3];
    for (int i = 0; i < 3; i++) thread[i] = spawn(say_number, (void*)&number[i]);
    for (int i = 0; i < 3; i++)
        while (number[i] == 0) nap(1);
    puts("--- from main, of another thread");
    SHOW_YES(number[0] != number[1] && number[1] != number[2] && number[0] != number[2]);
    use_number(number[0]);
    SHOW(tgkill(getpid(), -1, 0));
    SHOW(tgkill(getpid(), 0, 0));
    for (int i = 0; i < 3; i++) sem_post(&together);
    for (int i = 0; i < 3; i++) finish(thread[i]);
    return 0;
}
