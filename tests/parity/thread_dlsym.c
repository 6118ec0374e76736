/* pthread functions looked up by dlsym, in every way: in the program's order, behind the program,
 * in a handle of libc. Each leads to threads, locks and semaphores that work with one another; what
 * is not there is not found, with dlerror's reason.
 *
 * PARITY: switches=10 threads=3 */
#include "parity.h"

#include <dlfcn.h>
#include <semaphore.h>

static int (*create)(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*);
static int (*join_thread)(pthread_t, void**);
static int (*wait_sem)(sem_t*);
static int (*wait_cond)(pthread_cond_t*, pthread_mutex_t*);
static int (*lock)(pthread_mutex_t*);
static unsigned (*nap)(unsigned);
static sem_t ready;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static int done;

static void* find(void* handle, const char* name) {
    void* found = dlsym(handle, name);
    CHECK(found != NULL);
    return found;
}

static void* work(void* unused) {
    SAME(nap(0), 0);
    sleep_ms(10);
    SAME(lock(&mutex), 0);
    done = 1;
    SAME(pthread_cond_signal(&condition), 0);
    SAME(pthread_mutex_unlock(&mutex), 0);
    sleep_ms(10);
    SAME(sem_post(&ready), 0);
    return unused;
}

static void use(void* handle, const char* what) {
    pthread_t thread;
    void* result;
    *(void**)&create = find(handle, "pthread_create");
    *(void**)&join_thread = find(handle, "pthread_join");
    *(void**)&wait_sem = find(handle, "sem_wait");
    *(void**)&wait_cond = find(handle, "pthread_cond_wait");
    *(void**)&lock = find(handle, "pthread_mutex_lock");
    *(void**)&nap = find(handle, "sleep");
    done = 0;
    SAME(create(&thread, NULL, work, &done), 0);
    SAME(lock(&mutex), 0);
    while (!done) SAME(wait_cond(&condition, &mutex), 0);
    SAME(pthread_mutex_unlock(&mutex), 0);
    SAME(wait_sem(&ready), 0);
    SAME(join_thread(thread, &result), 0);
    CHECK(result == &done);
    say("%s", what);
}

int main(void) {
    SAME(sem_init(&ready, 0, 0), 0);
    use(RTLD_DEFAULT, "the program's order");
    use(RTLD_NEXT, "behind the program");
    void* libc = dlopen("libc.so.6", RTLD_LAZY);
    CHECK(libc != NULL);
    use(libc, "libc");
    CHECK(dlsym(libc, "no_such_function") == NULL);
    CHECK(strstr(dlerror(), "no_such_function") != NULL);
    CHECK(dlsym(RTLD_NEXT, "no_such_function") == NULL && dlerror() != NULL);
    CHECK(dlsym(RTLD_DEFAULT, "main") == NULL || dlerror() == NULL);
    say("nothing");
    return 0;
}
