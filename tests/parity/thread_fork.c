/* fork from a thread while others wait in every kind of call: the child has the forking thread
 * only, with its own variables, as the process's first thread (its id is the process id); it makes
 * threads again, forks again, and ends when that thread ends.
 *
 * PARITY: switches=30 threads=13
 */
#include "thread.h"

static sem_t ready, gate;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static pthread_key_t key;
static __thread long own = 1;
static int moved_on, pipe_fds[2];

static void* waits(void* arg) {
    char byte;
    sem_post(&ready);
    switch ((long)arg) {
        case 0:
            sem_wait(&gate);
            break;
        case 1:
            pthread_mutex_lock(&mutex);
            while (!__atomic_load_n(&moved_on, __ATOMIC_SEQ_CST)) pthread_cond_wait(&cond, &mutex);
            pthread_mutex_unlock(&mutex);
            break;
        case 2:
            CHECK(read(pipe_fds[0], &byte, 1) == 1);
            break;
        default:
            while (!__atomic_load_n(&moved_on, __ATOMIC_SEQ_CST)) nap(5);
    }
    __atomic_add_fetch(&moved_on, 1, __ATOMIC_SEQ_CST);
    return NULL;
}

static void* add(void* arg) {
    static long sum;
    CHECK(own == 1);
    own = (long)arg;
    sched_yield();
    nap(1);
    CHECK(own == (long)arg);
    return (void*)__atomic_add_fetch(&sum, own, __ATOMIC_SEQ_CST);
}

/* Threads in the child, and a child of the child from one of them. */
static void* fork_again(void* arg) {
    fflush(stdout);
    pid_t grandchild = fork();
    CHECK(grandchild >= 0);
    if (grandchild == 0) {
        CHECK(gettid() == getpid());
        finish(spawn(add, (void*)5L));
        _exit(21);
    }
    CHECK(child_status(grandchild) == 21);
    return arg;
}

static void say_goodbye(void) { printf("atexit in process %s\n", own == 1 ? "one" : "two"); }

static void in_the_child(pthread_t forker, pid_t parent) {
    CHECK(gettid() == getpid() && getppid() == parent);
    CHECK(pthread_equal(forker, pthread_self()));
    CHECK(own == 1234 && pthread_getspecific(key) == &own);
    nap(20);
    CHECK(moved_on == 0); /* the others do not exist here */
    pthread_t thread[50];
    long top = 0;
    for (long i = 0; i < 50; i++) thread[i] = spawn(add, (void*)(i + 10));
    for (int i = 0; i < 50; i++) {
        long sum = (long)finish(thread[i]);
        if (sum > top) top = sum;
    }
    printf("child: sum %ld\n", top);
    puts(finish(spawn(fork_again, (void*)1L)) ? "child: forked again" : "?");
    CHECK(gettid() == getpid() && own == 1234);
}

static void* forks(void* arg) {
    pid_t parent = getpid();
    pthread_t self = pthread_self();
    own = 1234;
    pthread_setspecific(key, &own);
    CHECK(gettid() != parent);
    fflush(stdout);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        in_the_child(self, parent);
        return arg; /* the last thread of the child ends: exit(0), atexit handlers and all */
    }
    printf("status of the child: %d\n", child_status(child));
    CHECK(own == 1234 && getpid() == parent && gettid() != parent);
    return arg;
}

int main(void) {
    sem_init(&ready, 0, 0);
    sem_init(&gate, 0, 0);
    CHECK(pipe(pipe_fds) == 0);
    pthread_key_create(&key, NULL);
    atexit(say_goodbye);
    pthread_t waiting[12];
    for (long i = 0; i < 12; i++) waiting[i] = spawn(waits, (void*)(i % 4));
    for (int i = 0; i < 12; i++) sem_wait(&ready);
    nap(10);
    finish(spawn(forks, NULL));
    for (int i = 0; i < 3; i++) {
        sem_post(&gate);
        CHECK(write(pipe_fds[1], "x", 1) == 1);
    }
    pthread_mutex_lock(&mutex);
    __atomic_add_fetch(&moved_on, 1, __ATOMIC_SEQ_CST);
    pthread_cond_broadcast(&cond);
    pthread_mutex_unlock(&mutex);
    for (int i = 0; i < 12; i++) finish(waiting[i]);
    puts("all of the parent's threads went on");
    return 0;
}
