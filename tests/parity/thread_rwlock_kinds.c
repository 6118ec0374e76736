/* The kinds of reader-writer lock: while a writer waits for a reader, a second reader may pass (the
 * default prefers readers) or must wait (PREFER_WRITER_NONRECURSIVE); and one shared with a child.
 *
 * PARITY: switches=12 threads=6
 */
#include "thread.h"

#include <sys/mman.h>

static pthread_rwlock_t lock;

static void* write_once(void* arg) {
    CHECK(pthread_rwlock_wrlock(&lock) == 0);
    CHECK(pthread_rwlock_unlock(&lock) == 0);
    return arg;
}

static void* try_to_read(void* arg) {
    (void)arg;
    int error = pthread_rwlock_tryrdlock(&lock);
    if (error == 0) pthread_rwlock_unlock(&lock);
    return (void*)(long)error;
}

static void run(const char* title, int kind) {
    pthread_rwlockattr_t attr;
    int got = -1;
    pthread_rwlockattr_init(&attr);
    CHECK(pthread_rwlockattr_setkind_np(&attr, kind) == 0);
    CHECK(pthread_rwlockattr_getkind_np(&attr, &got) == 0 && got == kind);
    CHECK(pthread_rwlock_init(&lock, &attr) == 0);
    CHECK(pthread_rwlock_rdlock(&lock) == 0);
    pthread_t writer = spawn(write_once, NULL);
    nap(100); /* it waits by now */
    printf("%s, a second reader while a writer waits: %s\n", title,
           result_name((long)finish(spawn(try_to_read, NULL))));
    CHECK(pthread_rwlock_unlock(&lock) == 0);
    finish(writer);
    CHECK(pthread_rwlock_destroy(&lock) == 0);
}

struct Shared {
    pthread_rwlock_t lock;
    long writes;
};
static struct Shared* shared;

static void between_processes(void) {
    pthread_rwlockattr_t attr;
    pthread_rwlockattr_init(&attr);
    SHOW(pthread_rwlockattr_setpshared(&attr, PTHREAD_PROCESS_SHARED));
    SHOW(pthread_rwlock_init(&shared->lock, &attr));
    SHOW(pthread_rwlock_wrlock(&shared->lock));
    fflush(stdout);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        CHECK(pthread_rwlock_tryrdlock(&shared->lock) == EBUSY);
        CHECK(pthread_rwlock_rdlock(&shared->lock) == 0);
        CHECK(shared->writes == 1);
        CHECK(pthread_rwlock_unlock(&shared->lock) == 0);
        _exit(3);
    }
    nap(50); /* the child waits by now */
    shared->writes++;
    SHOW(pthread_rwlock_unlock(&shared->lock));
    SHOW_LONG(child_status(child));
}

int main(void) {
    shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(shared != MAP_FAILED);
    run("prefer readers", PTHREAD_RWLOCK_PREFER_READER_NP);
    run("prefer writers, recursive readers", PTHREAD_RWLOCK_PREFER_WRITER_NP);
    run("prefer writers", PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    between_processes();
    return 0;
}
