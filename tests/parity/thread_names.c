/* Who a thread is: pthread_self and pthread_equal, a kernel id unique among the living (by gettid
 * and by syscall), the main thread's id equal to the process id, and names by pthread_setname_np,
 * which the kernel keeps to 15 characters; names are per thread, and a new thread has its maker's.
 *
 * PARITY: switches=200 threads=101
 */
#include "thread.h"

#include <sys/prctl.h>
#include <sys/syscall.h>

enum { threads = 100 };
static pid_t ids[threads];
static pthread_t selves[threads];
static pthread_barrier_t barrier;

static void* body(void* arg) {
    long i = (long)arg;
    char name[16], got[16];
    selves[i] = pthread_self();
    ids[i] = gettid();
    CHECK(syscall(SYS_gettid) == ids[i]);
    CHECK(getpid() != ids[i]);
    snprintf(name, sizeof name, "worker %ld", i);
    CHECK(pthread_setname_np(pthread_self(), name) == 0);
    pthread_barrier_wait(&barrier); /* everyone has an id and a name */
    for (int k = 0; k < threads; k++) {
        CHECK(k == i || ids[k] != ids[i]);
        CHECK(!pthread_equal(selves[k], pthread_self()) == (k != i));
    }
    pthread_barrier_wait(&barrier);
    CHECK(gettid() == ids[i]);
    CHECK(pthread_getname_np(pthread_self(), got, sizeof got) == 0);
    CHECK(strcmp(name, got) == 0);
    CHECK(prctl(PR_GET_NAME, got) == 0);
    CHECK(strcmp(name, got) == 0);
    snprintf(name, sizeof name, "prctl %ld", i);
    CHECK(prctl(PR_SET_NAME, name) == 0);
    pthread_barrier_wait(&barrier);
    CHECK(pthread_getname_np(pthread_self(), got, sizeof got) == 0);
    CHECK(strcmp(name, got) == 0);
    pthread_barrier_wait(&barrier); /* main looks at the names and renames one */
    pthread_barrier_wait(&barrier);
    if (i == 0) {
        pthread_getname_np(pthread_self(), got, sizeof got);
        printf("renamed from outside: %s\n", got);
    }
    return NULL;
}

static void* inherits(void* arg) {
    CHECK(pthread_getname_np(pthread_self(), arg, 16) == 0);
    return NULL;
}

int main(void) {
    pthread_t thread[threads];
    char name[16];
    CHECK(gettid() == getpid());
    CHECK(pthread_setname_np(pthread_self(), "the main thread") == 0);
    SHOW(pthread_setname_np(pthread_self(), "sixteen letters!"));
    pthread_barrier_init(&barrier, NULL, threads + 1);
    for (long i = 0; i < threads; i++) thread[i] = spawn(body, (void*)i);
    for (int k = 0; k < 4; k++) pthread_barrier_wait(&barrier);
    for (long i = 0; i < threads; i++) CHECK(pthread_equal(thread[i], selves[i]));
    SHOW(pthread_getname_np(thread[42], name, sizeof name));
    puts(name);
    SHOW(pthread_getname_np(thread[42], name, 15));
    SHOW(pthread_setname_np(thread[0], "renamed"));
    pthread_barrier_wait(&barrier);
    for (long i = 0; i < threads; i++) finish(thread[i]);
    SHOW(pthread_getname_np(pthread_self(), name, sizeof name));
    puts(name);
    finish(spawn(inherits, name));
    printf("a new thread is called: %s\n", name);
    CHECK(gettid() == getpid());
    return 0;
}
