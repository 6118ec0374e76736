/* A library whose thread-local variables have the static model is loaded, unloaded and loaded again
 * while threads live: each of them, and each that is made later, finds the initial values.
 *
 * PARITY: switches=10 threads=6 */
#include "parity.h"

#include <dlfcn.h>

enum { THREADS = 3, ROUNDS = 3 };

static int (*fresh)(void);
static pthread_barrier_t loaded, looked;

static void* look_each_time(void* argument) {
    for (int i = 0; i < ROUNDS; i++) {
        pthread_barrier_wait(&loaded);
        SAME(fresh(), 41);
        SAME(fresh(), 0);
        pthread_barrier_wait(&looked);
    }
    return argument;
}

static void* look(void* argument) {
    SAME(fresh(), 41);
    return argument;
}

int main(void) {
    char path[4096];
    path_beside(path, "late_tls.so");
    SAME(pthread_barrier_init(&loaded, NULL, THREADS + 1), 0);
    SAME(pthread_barrier_init(&looked, NULL, THREADS + 1), 0);
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) threads[i] = start(look_each_time, NULL);
    for (int i = 0; i < ROUNDS; i++) {
        void* library = dlopen(path, RTLD_NOW);
        if (library == NULL) parity_fail(__FILE__, __LINE__, "%s", dlerror());
        fresh = (int (*)(void))(intptr_t)dlsym(library, "late_tls_fresh");
        CHECK(fresh != NULL);
        pthread_barrier_wait(&loaded);
        SAME(fresh(), 41);
        join(start(look, NULL));
        pthread_barrier_wait(&looked);
        SAME(dlclose(library), 0);
    }
    for (int i = 0; i < THREADS; i++) join(threads[i]);
    say("every thread, every time");
    return 0;
}
