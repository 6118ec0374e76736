/* Functions looked up with their versions lead to the same calls as those without: waits for what
 * other threads do, and threads of the same kind.
 *
 * PARITY: switches=20 threads=7 */
#include "parity.h"

#include <dlfcn.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;

static void* name_itself(void* argument) {
    *(pthread_t*)argument = pthread_self();
    return argument;
}

static void wait_a_while(void* found) {
    int (*timedwait)(pthread_cond_t*, pthread_mutex_t*, const struct timespec*);
    struct timespec until;
    CHECK(found);
    memcpy(&timedwait, &found, sizeof timedwait);
    SAME(clock_gettime(CLOCK_REALTIME, &until), 0);
    until.tv_sec++;
    long before = ticks();
    SAME(pthread_mutex_lock(&mutex), 0);
    int result;
    while ((result = timedwait(&condition, &mutex, &until)) == 0) {
    }
    SAME(result, ETIMEDOUT);
    SAME(pthread_mutex_unlock(&mutex), 0);
    CHECK(ticks() > before + 3);
}

static void make_thread(void* found) {
    int (*create)(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*);
    pthread_t thread, itself;
    void* result;
    CHECK(found);
    memcpy(&create, &found, sizeof create);
    SAME(create(&thread, NULL, name_itself, &itself), 0);
    SAME(pthread_join(thread, &result), 0);
    CHECK(result == &itself);
    CHECK(pthread_equal(thread, itself));
}

int main(void) {
    start_ticking();
    void* libc = dlopen("libc.so.6", RTLD_LAZY);
    CHECK(libc != NULL);
    void* scopes[3] = {RTLD_DEFAULT, RTLD_NEXT, libc};
    for (int i = 0; i < 3; i++) {
        wait_a_while(dlvsym(scopes[i], "pthread_cond_timedwait", "GLIBC_2.3.2"));
        make_thread(dlvsym(scopes[i], "pthread_create", "GLIBC_2.2.5"));
        make_thread(dlvsym(scopes[i], "pthread_create", "GLIBC_2.34"));
        CHECK(dlvsym(scopes[i], "pthread_cond_timedwait", "GLIBC_2.99") == NULL);
        CHECK(dlerror() != NULL);
        CHECK(dlvsym(scopes[i], "no_such_function", "GLIBC_2.34") == NULL);
        CHECK(dlerror() != NULL);
        CHECK(dlvsym(scopes[i], "strlen", "GLIBC_2.2.5") != NULL);
        CHECK(dlerror() == NULL);
        say("scope %d", i);
    }
    stop_ticking();
    return 0;
}
