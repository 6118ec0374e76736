/* Signals by syscall(2): actions, what is pending, a thread's signal with what is said about it,
 * its process's, alternate stacks, timers; and the numbers that no call takes.
 *
 * PARITY: switches=2 threads=1 */
#include "parity.h"

#include <sys/prctl.h>
#include <sys/syscall.h>

struct kernel_action {
    void* handler;
    unsigned long flags;
    void* restorer;
    uint64_t mask;
};
static volatile int seen[65], value;

static void handle(int signal, siginfo_t* info, void* context) {
    (void)context;
    seen[signal]++;
    value = info->si_value.sival_int;
}

static void actions(void) {
    struct kernel_action action;
    struct sigaction act, old;
    memset(&act, 0, sizeof act);
    act.sa_sigaction = handle;
    act.sa_flags = SA_SIGINFO;
    sigfillset(&act.sa_mask);
    SAME(sigaction(SIGUSR1, &act, NULL), 0);
    SAME(sigaction(SIGUSR1, NULL, &old), 0);
    say("SIGKILL %d SIGSTOP %d SIGINT %d", sigismember(&old.sa_mask, SIGKILL),
        sigismember(&old.sa_mask, SIGSTOP), sigismember(&old.sa_mask, SIGINT));
    memset(&action, 0, sizeof action);
    SAME(syscall(SYS_rt_sigaction, SIGUSR1, NULL, &action, 8), 0);
    CHECK(action.handler == (void*)handle);
    SAME(syscall(SYS_rt_sigaction, SIGUSR2, &action, NULL, 8), 0);
    FAILS(syscall(SYS_rt_sigaction, SIGKILL, &action, NULL, 8), EINVAL);
    FAILS(syscall(SYS_rt_sigaction, SIGUSR2, &action, NULL, 16), EINVAL);
}

static void* send_all(void* argument) {
    union sigval with = {.sival_int = 5};
    pthread_t me = pthread_self();
    say("32: %d %d, 33: %d, 65: %d", pthread_kill(me, 32), pthread_sigqueue(me, 32, with),
        pthread_kill(me, 33), pthread_kill(me, 65));
    FAILS(raise(32), EINVAL);
    FAILS(raise(65), EINVAL);

    SAME(syscall(SYS_tgkill, getpid(), gettid(), SIGUSR2), 0);
    say("SIGUSR2 %d", seen[SIGUSR2]);
    siginfo_t info;
    memset(&info, 0, sizeof info);
    info.si_code = SI_QUEUE;
    info.si_pid = getpid();
    info.si_value.sival_int = 77;
    SAME(syscall(SYS_rt_tgsigqueueinfo, getpid(), gettid(), SIGUSR1, &info), 0);
    say("SIGUSR1 %d, value %d", seen[SIGUSR1], value);

    sigset_t set;
    uint64_t pending = 0;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    SAME(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
    SAME(pthread_kill(me, SIGUSR1), 0);
    SAME(syscall(SYS_rt_sigpending, &pending, 8), 0);
    say("pending %llx", (unsigned long long)pending);
    SAME(pthread_sigmask(SIG_UNBLOCK, &set, NULL), 0);
    say("SIGUSR1 %d", seen[SIGUSR1]);

    static char room[65536];
    stack_t stack = {.ss_sp = room, .ss_size = sizeof room}, was;
    SAME(syscall(SYS_sigaltstack, &stack, NULL), 0);
    SAME(sigaltstack(NULL, &was), 0);
    CHECK(was.ss_sp == room);

    char name[16] = "";
    SAME(syscall(SYS_prctl, PR_SET_NAME, "by number"), 0);
    SAME(pthread_getname_np(me, name, sizeof name), 0);
    say("%s", name);

    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR2};
    struct itimerspec soon = {{0, 0}, {0, 10000000}};
    int timer;
    event._sigev_un._tid = gettid();
    SAME(syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &timer), 0);
    SAME(syscall(SYS_timer_settime, timer, 0, &soon, NULL), 0);
    while (seen[SIGUSR2] < 2) usleep(1000);
    SAME(syscall(SYS_timer_delete, timer), 0);
    return argument;
}

int main(void) {
    pthread_t thread;
    char name[16] = "";
    actions();
    join(thread = start(send_all, NULL));
    actions();
    SAME(kill(getpid(), SIGUSR2), 0);
    SAME(pthread_getname_np(pthread_self(), name, sizeof name), 0);
    say("SIGUSR2 %d, %s", seen[SIGUSR2], name);
    return 0;
}
