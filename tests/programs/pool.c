// Threads that make threads, in every way that a limit on them could get wrong: see test_pool.py.
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int running, most, order[100], begun, handled;
static sem_t ended;

static void begins(int number) {
    pthread_mutex_lock(&lock);
    order[begun++] = number;
    if (++running > most) most = running;
    pthread_mutex_unlock(&lock);
}

static void ends(void) {
    pthread_mutex_lock(&lock);
    --running;
    pthread_mutex_unlock(&lock);
    sem_post(&ended);
}

static void* job(void* number) {
    begins((int)(long)number);
    usleep(20000);
    ends();
    return number;
}

static void* leaves(void* number) {
    begins((int)(long)number);
    usleep(20000);
    ends();
    pthread_exit(number);
}

static void* job_with_a_thread(void* number) {
    pthread_t t;
    begins((int)(long)number);
    pthread_create(&t, NULL, job, (void*)50);
    pthread_join(t, NULL);
    ends();
    return number;
}

static void* never(void* unused) {
    static sem_t nothing;
    sem_wait(&nothing);
    return unused;
}

static void make(int count, void* (*routine)(void*), int detached) {
    pthread_t threads[100];
    pthread_mutex_lock(&lock);  // as a program's own pool does; the new threads need it
    for (long i = 0; i < count; ++i) pthread_create(&threads[i], NULL, routine, (void*)i);
    pthread_mutex_unlock(&lock);
    for (long i = 0; i < count; ++i) {
        if (detached) {
            pthread_detach(threads[i]);
        } else {
            pthread_join(threads[i], NULL);
        }
    }
}

static int in_order(int count) {
    for (int i = 0; i < count; ++i) {
        if (order[i] != i) return 0;
    }
    return 1;
}

static void on_signal(int number) { handled += number == SIGUSR1; }

static void several(void) {
    make(10, job, 0);
    printf("joined: %d at once, order %d\n", most, in_order(10));
    most = begun = 0;
    for (int i = 0; i < 10; ++i) sem_wait(&ended);
    make(10, leaves, 1);
    for (int i = 0; i < 10; ++i) sem_wait(&ended);
    printf("detached: %d at once, order %d\n", most, in_order(10));
    fflush(stdout);
    if (fork() == 0) {
        most = begun = running = 0;
        make(6, job, 0);
        printf("in a child: %d at once\n", most);
        fflush(stdout);
        _exit(0);
    }
    wait(NULL);
    most = begun = running = 0;
    make(4, job_with_a_thread, 0);
    printf("with threads of their own: done\n");
}

static void interrupted(void) {
    pthread_t first, second, third, fourth;
    void* result;
    signal(SIGUSR1, on_signal);
    pthread_create(&first, NULL, job, NULL);
    pthread_create(&second, NULL, never, NULL);
    pthread_create(&third, NULL, never, NULL);
    pthread_create(&fourth, NULL, job, (void*)7);
    usleep(1000);
    pthread_kill(third, SIGUSR1);
    usleep(1000);
    pthread_cancel(third);
    pthread_join(third, &result);
    printf("waiting, and cancelled: %d, handler %d\n", result == PTHREAD_CANCELED, handled);
    pthread_join(first, NULL);
    pthread_join(fourth, &result);
    printf("the next one: %ld\n", (long)result);
    pthread_cancel(second);
    pthread_join(second, NULL);
}

int main(int argc, char** argv) {
    sem_init(&ended, 0, 0);
    if (argc > 1 && !strcmp(argv[1], "stuck")) make(3, never, 0);
    if (argc > 1 && !strcmp(argv[1], "several")) several();
    if (argc > 1 && !strcmp(argv[1], "interrupted")) interrupted();
    return 0;
}
