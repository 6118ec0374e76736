/* A program with an allocator of its own, as browsers and databases have: one lock, which a handler
 * of pthread_atfork takes before a fork and another gives back in the child. Until that one has
 * run, whoever allocates or frees in the child waits for ever.
 *
 * PARITY: switches=20 threads=4
 */
#define _GNU_SOURCE
#include <stdatomic.h>

#include "thread.h"

extern void* __libc_malloc(size_t);
extern void* __libc_calloc(size_t, size_t);
extern void* __libc_realloc(void*, size_t);
extern void __libc_free(void*);

static atomic_int lock;

static void take(void) {
    for (int i = 0; atomic_exchange(&lock, 1) != 0; i++) {
        if (i == 1000000) {
            static const char text[] = "the allocator is locked for ever\n";
            _exit(write(STDOUT_FILENO, text, sizeof text - 1) > 0 ? 99 : 98);
        }
        sched_yield();
    }
}
static void give_back(void) { atomic_store(&lock, 0); }

void* malloc(size_t size) {
    take();
    void* p = __libc_malloc(size);
    give_back();
    return p;
}
void* calloc(size_t count, size_t size) {
    take();
    void* p = __libc_calloc(count, size);
    give_back();
    return p;
}
void* realloc(void* old, size_t size) {
    take();
    void* p = __libc_realloc(old, size);
    give_back();
    return p;
}
void free(void* p) {
    take();
    __libc_free(p);
    give_back();
}

static void* allocate(void* arg) {
    for (int i = 0; i < 20; i++) {
        free(strdup("something"));
        usleep(500);
    }
    return arg;
}

static void* fork_here(void* arg) {
    for (int i = 0; i < 5; i++) {
        fflush(stdout);
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            pthread_t thread; /* the child's own threads, and a fork of its own */
            CHECK(pthread_create(&thread, NULL, allocate, NULL) == 0);
            pid_t grandchild = fork();
            if (grandchild == 0) _exit(strcmp(strdup("x"), "x") + 7);
            CHECK(child_status(grandchild) == 7);
            CHECK(pthread_join(thread, NULL) == 0);
            _exit(11);
        }
        CHECK(child_status(child) == 11);
    }
    return arg;
}

int main(void) {
    CHECK(pthread_atfork(take, give_back, give_back) == 0);
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) {
        CHECK(pthread_create(&threads[i], NULL, i == 0 ? fork_here : allocate, NULL) == 0);
    }
    for (int i = 0; i < 4; i++) CHECK(pthread_join(threads[i], NULL) == 0);
    puts("done");
    return 0;
}
