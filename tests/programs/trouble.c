/* Programs in trouble, for test_trouble.py: the argument says which. Functions that a report is to
 * name are not static: with -rdynamic it then knows them. */
#define _GNU_SOURCE
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static pthread_mutex_t first = PTHREAD_MUTEX_INITIALIZER, second = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t never = PTHREAD_COND_INITIALIZER;
static sem_t stop;

void take_first(void) { pthread_mutex_lock(&first); }

void* other_order(void* unused) {
    pthread_setname_np(pthread_self(), "other");
    pthread_mutex_lock(&second);
    usleep(1000);
    take_first();
    return unused;
}

static void* wait_for_ever(void* unused) {
    pthread_mutex_lock(&first);
    for (;;) pthread_cond_wait(&never, &first);
    return unused;
}

static int deeper(int depth) {
    char local[4096];
    memset(local, depth, sizeof local);
    return deeper(depth + 1) + local[depth % 100];
}

static void* overflow(void* unused) {
    printf("%d\n", deeper(0));
    return unused;
}

/* Seconds in one call, which calls nothing but libc's own. */
enum { words = 4 << 20, word_size = 16 };

static char* random_words(void) {
    char* all = malloc((size_t)words * word_size);
    unsigned seed = 1;
    for (int i = 0; i < words; ++i) {
        snprintf(all + (size_t)i * word_size, word_size, "%d", rand_r(&seed));
    }
    return all;
}

void* compute_in_libc(void* all) {
    qsort(all, words, word_size, (int (*)(const void*, const void*))strverscmp);
    return all;
}

static void on_term(int signal) {
    (void)signal;
    sem_post(&stop);
}

int main(int count, char** arguments) {
    const char* what = count > 1 ? arguments[1] : "";
    pthread_t thread;
    sem_init(&stop, 0, 0);
    if (strcmp(what, "deadlock") == 0) {
        pthread_create(&thread, NULL, other_order, NULL);
        pthread_mutex_lock(&first);
        usleep(2000);
        pthread_mutex_lock(&second);
    } else if (strcmp(what, "overflow") == 0) {
        pthread_create(&thread, NULL, overflow, NULL);
    } else if (strcmp(what, "hog") == 0) {
        pthread_create(&thread, NULL, compute_in_libc, random_words());
        usleep(1000);
        return 0;
    } else if (strcmp(what, "daemon") == 0) {
        /* All wait, and a signal's handler lets them go: that is no deadlock. */
        signal(SIGTERM, on_term);
        pthread_create(&thread, NULL, wait_for_ever, NULL);
        puts("ready");
        fflush(stdout);
        while (sem_wait(&stop) != 0) continue;
        puts("stopped");
        return 0;
    }
    pthread_join(thread, NULL);
    return 0;
}
