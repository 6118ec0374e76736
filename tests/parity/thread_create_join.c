/* pthread_create and pthread_join: results travel, threads make threads, a join of oneself is
 * refused, and a joined thread is gone. (That a second joiner gets EINVAL, and EDEADLK comes of two
 * threads joining each other, is what glibc's source means to do; 2.36 lets them wait for ever.)
 *
 * PARITY: switches=400 threads=460 timeout=20
 */
#include "thread.h"

static sem_t gate, started;
static pthread_t target;

static void* square(void* arg) {
    long n = (long)arg;
    return (void*)(n * n);
}

static void* leave_by_exit(void* arg) { pthread_exit(arg); }

static void* wait_at_gate(void* arg) {
    sem_wait(&gate);
    return arg;
}

static void* join_self(void* arg) {
    (void)arg;
    return (void*)(long)pthread_join(pthread_self(), NULL);
}

static void* join_target(void* arg) {
    (void)arg;
    sem_post(&started);
    return finish(target);
}

/* A tree of threads: each node makes two children and adds their sizes to its own. */
static void* tree(void* arg) {
    long depth = (long)arg;
    if (depth == 0) return (void*)1;
    pthread_t left = spawn(tree, (void*)(depth - 1));
    pthread_t right = spawn(tree, (void*)(depth - 1));
    return (void*)(1 + (long)finish(right) + (long)finish(left));
}

int main(void) {
    sem_init(&gate, 0, 0);
    sem_init(&started, 0, 0);

    pthread_t threads[200];
    long sum = 0;
    for (long i = 0; i < 200; i++) threads[i] = spawn(square, (void*)i);
    for (long i = 199; i >= 0; i--) sum += (long)finish(threads[i]);
    printf("sum of squares: %ld\n", sum);

    printf("size of the tree: %ld\n", (long)finish(spawn(tree, (void*)7L)));
    printf("by pthread_exit: %ld\n", (long)finish(spawn(leave_by_exit, (void*)42L)));
    printf("joining oneself: %s\n", result_name((long)finish(spawn(join_self, NULL))));
    SHOW(pthread_join(pthread_self(), NULL));

    target = spawn(wait_at_gate, (void*)7L);
    pthread_t joiner = spawn(join_target, NULL);
    sem_wait(&started);
    nap(20); /* the joiner is in pthread_join by now */
    sem_post(&gate);
    printf("the joiner got: %ld\n", (long)finish(joiner));

    pthread_t done = spawn(square, (void*)3L);
    nap(50); /* it has ended before anybody asks */
    printf("joined late: %ld\n", (long)finish(done));
    SHOW(pthread_join(done, NULL));
    SHOW(pthread_detach(done));

    pthread_t none = spawn(square, (void*)1L);
    SHOW(pthread_join(none, NULL)); /* the result is not wanted */
    return 0;
}
