/* Every attribute of pthread_attr_t: the setters' checks, what a thread made with them reports
 * about itself by pthread_getattr_np, and that its stack really is where and as large as it says.
 *
 * PARITY: switches=10 threads=10
 */
#include "thread.h"

#include <limits.h>
#include <signal.h>

static void show_attr(const char* title, const pthread_attr_t* attr) {
    size_t size = 0, guard = 0;
    int state = -1, scope = -1, inherit = -1, policy = -1;
    struct sched_param param = {-1};
    CHECK(pthread_attr_getstacksize(attr, &size) == 0);
    CHECK(pthread_attr_getguardsize(attr, &guard) == 0);
    CHECK(pthread_attr_getdetachstate(attr, &state) == 0);
    CHECK(pthread_attr_getscope(attr, &scope) == 0);
    CHECK(pthread_attr_getinheritsched(attr, &inherit) == 0);
    CHECK(pthread_attr_getschedpolicy(attr, &policy) == 0);
    CHECK(pthread_attr_getschedparam(attr, &param) == 0);
    printf("%s: stack %zu guard %zu detached %d scope %d inherit %d policy %d priority %d\n", title,
           size, guard, state, scope, inherit, policy, param.sched_priority);
}

/* Fills most of the stack the thread believes to have. */
static void use_stack(size_t bytes) {
    volatile char block[bytes];
    for (size_t i = 0; i < bytes; i += 512) block[i] = (char)i;
    sched_yield();
    for (size_t i = 0; i < bytes; i += 512) CHECK(block[i] == (char)i);
}

static void* report(void* arg) {
    pthread_attr_t attr;
    CHECK(pthread_getattr_np(pthread_self(), &attr) == 0);
    show_attr(arg, &attr);
    void* low = NULL;
    size_t size = 0;
    CHECK(pthread_attr_getstack(&attr, &low, &size) == 0);
    char here;
    CHECK(&here >= (char*)low && &here < (char*)low + size);
    use_stack((size_t)(&here - (char*)low) - 12288);
    CHECK(pthread_attr_destroy(&attr) == 0);
    return NULL;
}

static void run(const pthread_attr_t* attr, char* title) {
    pthread_t thread;
    CHECK(pthread_create(&thread, attr, report, title) == 0);
    finish(thread);
}

static sem_t gate;

static void* wait_at_gate(void* arg) {
    sem_wait(&gate);
    return arg;
}

static void* blocked_signals(void* arg) {
    (void)arg;
    sigset_t now;
    CHECK(pthread_sigmask(SIG_BLOCK, NULL, &now) == 0);
    return (void*)(long)(sigismember(&now, SIGUSR1) * 2 + sigismember(&now, SIGUSR2));
}

int main(void) {
    pthread_attr_t attr;
    SHOW(pthread_attr_init(&attr));
    show_attr("fresh", &attr);

    SHOW(pthread_attr_setstacksize(&attr, 16383));
    SHOW(pthread_attr_setstacksize(&attr, 0));
    SHOW(pthread_attr_setdetachstate(&attr, 17));
    SHOW(pthread_attr_setscope(&attr, PTHREAD_SCOPE_PROCESS));
    SHOW(pthread_attr_setscope(&attr, PTHREAD_SCOPE_SYSTEM));
    SHOW(pthread_attr_setinheritsched(&attr, 9));
    SHOW(pthread_attr_setschedpolicy(&attr, 99));

    SHOW(pthread_attr_setstacksize(&attr, 65536));
    run(&attr, "64 KiB");
    SHOW(pthread_attr_setguardsize(&attr, 3 * 4096));
    SHOW(pthread_attr_setstacksize(&attr, 5 * 65536));
    run(&attr, "320 KiB, guard 12 KiB");
    SHOW(pthread_attr_setguardsize(&attr, 0));
    SHOW(pthread_attr_setstacksize(&attr, 32 * 65536));
    run(&attr, "2 MiB, no guard");
    SHOW(pthread_attr_destroy(&attr));

    pthread_attr_init(&attr);
    SHOW(pthread_attr_setstacksize(&attr, 64 << 20));
    run(&attr, "64 MiB");
    SHOW(pthread_attr_setinheritsched(&attr, PTHREAD_EXPLICIT_SCHED));
    SHOW(pthread_attr_setschedpolicy(&attr, SCHED_OTHER));
    run(&attr, "explicit");
    pthread_attr_destroy(&attr);

    /* more than there is: refused, and nothing breaks */
    pthread_t thread;
    pthread_attr_init(&attr);
    SHOW(pthread_attr_setstacksize(&attr, 1L << 47));
    SHOW(pthread_create(&thread, &attr, report, "huge"));
    pthread_attr_destroy(&attr);

    /* the defaults of the process: what threads without attributes get */
    run(NULL, "default");
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 1 << 20);
    SHOW(pthread_setattr_default_np(&attr));
    run(NULL, "new default");
    pthread_attr_t defaults;
    SHOW(pthread_getattr_default_np(&defaults));
    show_attr("default", &defaults);
    pthread_attr_destroy(&defaults);
    pthread_attr_destroy(&attr);

    /* the attributes of another thread, and detachment shows in them */
    sem_init(&gate, 0, 0);
    thread = spawn(wait_at_gate, NULL);
    SHOW(pthread_getattr_np(thread, &attr));
    show_attr("another, joinable", &attr);
    pthread_attr_destroy(&attr);
    pthread_detach(thread);
    SHOW(pthread_getattr_np(thread, &attr));
    show_attr("another, detached", &attr);
    pthread_attr_destroy(&attr);
    sem_post(&gate);

    /* main's own stack */
    char here;
    void* low = NULL;
    size_t size = 0;
    SHOW(pthread_getattr_np(pthread_self(), &attr));
    CHECK(pthread_attr_getstack(&attr, &low, &size) == 0);
    SHOW_YES(&here >= (char*)low && &here < (char*)low + size);
    pthread_attr_destroy(&attr);

    /* the signal mask a thread starts with: the creator's, or the attribute's */
    sigset_t set, got;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    CHECK(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
    printf("inherited mask: %ld\n", (long)finish(spawn(blocked_signals, NULL)));
    pthread_attr_init(&attr);
    SHOW_YES(pthread_attr_getsigmask_np(&attr, &got) == PTHREAD_ATTR_NO_SIGMASK_NP);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    SHOW(pthread_attr_setsigmask_np(&attr, &set));
    SHOW(pthread_attr_getsigmask_np(&attr, &got));
    SHOW_YES(sigismember(&got, SIGUSR2));
    CHECK(pthread_create(&thread, &attr, blocked_signals, NULL) == 0);
    printf("mask by attribute: %ld\n", (long)finish(thread));
    printf("main's mask: %ld\n", (long)blocked_signals(NULL));
    pthread_attr_destroy(&attr);
    return 0;
}
