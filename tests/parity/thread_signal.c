/* Signals and threads: pthread_kill runs the handler in the thread it names and ends its blocking
 * call with EINTR, or restarts it under SA_RESTART; masks are per thread; a signal for the process
 * goes to the one thread that does not block it; sigwait in a thread of its own.
 *
 * PARITY: switches=60 threads=12 timeout=20
 */
#include "thread.h"

#include <signal.h>

static sem_t ready, posted;
static int pipe_fds[2], handled;
static pthread_t handled_in;

static void handler(int number) {
    (void)number;
    handled_in = pthread_self();
    __atomic_add_fetch(&handled, 1, __ATOMIC_SEQ_CST);
}

static void install(int number, int flags) {
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags};
    sigemptyset(&action.sa_mask);
    CHECK(sigaction(number, &action, NULL) == 0);
}

static int done;

static const char* outcome(long result) { return result_name(result > 0 ? 0 : result); }

static void* in_sem_wait(void* arg) {
    sem_post(&ready);
    printf("sem_wait: %s\n", outcome(sem_wait(&posted)));
    return arg;
}
static void* in_read(void* arg) {
    char byte;
    sem_post(&ready);
    printf("read: %s\n", outcome(read(pipe_fds[0], &byte, 1)));
    return arg;
}
static void* in_nanosleep(void* arg) {
    struct timespec t = {1000, 0}, rest = {0, 0};
    sem_post(&ready);
    printf("nanosleep: %s\n", outcome(nanosleep(&t, &rest)));
    CHECK(rest.tv_sec > 900 && rest.tv_sec < 1000);
    return arg;
}
static void* in_pause(void* arg) {
    sem_post(&ready);
    printf("pause: %s\n", outcome(pause()));
    return arg;
}

static void* run_body(void* body) {
    (*(void* (**)(void*))body)(NULL);
    CHECK(pthread_equal(handled_in, pthread_self()));
    __atomic_store_n(&done, 1, __ATOMIC_SEQ_CST);
    return NULL;
}

/* Kicks the thread until its call has ended; each kick is one run of the handler. */
static void interrupt(void* (*body)(void*)) {
    done = handled = 0;
    pthread_t thread = spawn(run_body, &body);
    sem_wait(&ready);
    do {
        nap(10);
        if (!__atomic_load_n(&done, __ATOMIC_SEQ_CST)) CHECK(pthread_kill(thread, SIGUSR1) == 0);
        nap(10);
    } while (!__atomic_load_n(&done, __ATOMIC_SEQ_CST));
    finish(thread);
    CHECK(handled >= 1);
}

/* Two signals, then what the call waits for: it must return that, in spite of them. */
static void restart(void* (*body)(void*), int is_read) {
    done = handled = 0;
    pthread_t thread = spawn(run_body, &body);
    sem_wait(&ready);
    for (int i = 1; i <= 2; i++) {
        nap(20);
        CHECK(pthread_kill(thread, SIGUSR2) == 0);
        while (__atomic_load_n(&handled, __ATOMIC_SEQ_CST) < i) nap(1);
    }
    CHECK(!__atomic_load_n(&done, __ATOMIC_SEQ_CST));
    if (is_read)
        CHECK(write(pipe_fds[1], "x", 1) == 1);
    else
        sem_post(&posted);
    finish(thread);
}

static void* the_one_that_accepts(void* arg) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    CHECK(pthread_sigmask(SIG_UNBLOCK, &set, NULL) == 0);
    sem_post(&ready);
    while (__atomic_load_n(&handled, __ATOMIC_SEQ_CST) == 0) nap(1);
    CHECK(pthread_equal(handled_in, pthread_self()));
    return arg;
}

static void* just_waits(void* arg) {
    while (!__atomic_load_n(&done, __ATOMIC_SEQ_CST)) nap(1);
    CHECK(!pthread_equal(handled_in, pthread_self()));
    return arg;
}

static void* waits_for_signals(void* arg) {
    sigset_t set;
    int number = 0;
    siginfo_t info;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGRTMIN);
    CHECK(sigwait(&set, &number) == 0);
    printf("sigwait: %s\n", number == SIGTERM ? "SIGTERM" : "?");
    CHECK(sigwaitinfo(&set, &info) == SIGRTMIN);
    printf("sigwaitinfo: value %d\n", info.si_value.sival_int);
    struct timespec t = {0, 20000000};
    printf("sigtimedwait: %s\n", outcome(sigtimedwait(&set, NULL, &t)));
    return arg;
}

static void* raises(void* arg) {
    handled = 0;
    CHECK(raise(SIGUSR2) == 0);
    CHECK(handled == 1 && pthread_equal(handled_in, pthread_self()));
    return arg;
}

int main(void) {
    sem_init(&ready, 0, 0);
    sem_init(&posted, 0, 0);
    CHECK(pipe(pipe_fds) == 0);
    install(SIGUSR1, 0);
    install(SIGUSR2, SA_RESTART);
    puts("--- interrupted");
    interrupt(in_sem_wait);
    interrupt(in_read);
    interrupt(in_nanosleep);
    interrupt(in_pause);
    puts("--- restarted");
    restart(in_sem_wait, 0);
    restart(in_read, 1);

    puts("--- to the process");
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGRTMIN);
    CHECK(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
    done = handled = 0;
    pthread_t waiting[3], accepts, signals;
    for (int i = 0; i < 3; i++) waiting[i] = spawn(just_waits, NULL);
    accepts = spawn(the_one_that_accepts, NULL);
    sem_wait(&ready);
    CHECK(kill(getpid(), SIGUSR1) == 0);
    finish(accepts);
    __atomic_store_n(&done, 1, __ATOMIC_SEQ_CST);
    for (int i = 0; i < 3; i++) finish(waiting[i]);
    SHOW_LONG(handled);

    signals = spawn(waits_for_signals, NULL);
    nap(10);
    CHECK(kill(getpid(), SIGTERM) == 0);
    nap(10);
    CHECK(pthread_sigqueue(signals, SIGRTMIN, (union sigval){.sival_int = 99}) == 0);
    finish(signals);
    finish(spawn(raises, NULL));
    CHECK(pthread_kill(pthread_self(), SIGUSR1) == 0); /* blocked here: stays pending */
    CHECK(sigpending(&set) == 0);
    SHOW_LONG(sigismember(&set, SIGUSR1));
    return 0;
}
