/* Which of several pending signals comes first: to sigtimedwait the thread's own before those of
 * the process, and of each the lowest number; to handlers, when a mask lets all in at once, the
 * last one first, unless the masks of the actions keep them apart. sigsuspend and ppoll let in as
 * many as the first handler's mask leaves, and the rest stay pending, what was sent to the process
 * also when the thread has ended. A handler can change the mask that holds after it.
 *
 * PARITY: switches=1 threads=9 */
#include "parity.h"

#include <ucontext.h>

enum { KINDS = 5, SENT = 7 };
enum way { UNBLOCK, SUSPEND, POLL, FETCH };

static int kinds[KINDS], sent[SENT];
static sigset_t all, none;
static char handled[400];

static void note(int number, const siginfo_t* info) {
    size_t length = strlen(handled);
    snprintf(handled + length, sizeof handled - length, " %d:%d", number, info->si_value.sival_int);
}

static void handler(int number, siginfo_t* info, void* context) {
    (void)context;
    note(number, info);
}

/* To this thread, to the process, or by turns. */
static void send_all(int to) {
    for (int i = 0; i < SENT; i++) {
        union sigval value = {.sival_int = i};
        if (to == 1 || (to == 2 && i % 2 == 1)) {
            SAME(sigqueue(getpid(), sent[i], value), 0);
        } else {
            SAME(pthread_sigqueue(pthread_self(), sent[i], value), 0);
        }
    }
}

static void fetch_all(void) {
    siginfo_t info;
    struct timespec now = {0, 0};
    int number;
    while ((number = sigtimedwait(&all, &info, &now)) > 0) note(number, &info);
    SAME(errno, EAGAIN);
}

static void* body(void* argument) {
    static const char* const names[] = {"unblocked", "sigsuspend", "ppoll", "sigtimedwait"};
    enum way way = (enum way)(intptr_t)argument;
    for (int to = 0; to < 3; to++) {
        send_all(to);
        handled[0] = '\0';
        if (way == UNBLOCK) SAME(pthread_sigmask(SIG_SETMASK, &none, NULL), 0);
        if (way == SUSPEND) FAILS(sigsuspend(&none), EINTR);
        if (way == POLL) FAILS(ppoll(NULL, 0, NULL, &none), EINTR);
        if (way == FETCH) fetch_all();
        SAME(pthread_sigmask(SIG_BLOCK, &all, NULL), 0);
        say("%s:%s", names[way], handled);
    }
    return NULL;
}

static void block_more(int number, siginfo_t* info, void* context) {
    note(number, info);
    sigaddset(&((ucontext_t*)context)->uc_sigmask, SIGTERM);
    sigdelset(&((ucontext_t*)context)->uc_sigmask, SIGHUP);
}

static void* change_mask(void* argument) {
    sigset_t mask;
    struct sigaction action = {.sa_sigaction = block_more, .sa_flags = SA_SIGINFO};
    SAME(sigaction(SIGUSR1, &action, NULL), 0);
    sigemptyset(&mask);
    sigaddset(&mask, SIGHUP);
    SAME(pthread_sigmask(SIG_SETMASK, &mask, NULL), 0);
    SAME(raise(SIGUSR1), 0);
    SAME(pthread_sigmask(SIG_SETMASK, NULL, &mask), 0);
    say("changed by the handler: %d %d %d", sigismember(&mask, SIGTERM), sigismember(&mask, SIGHUP),
        sigismember(&mask, SIGUSR1));
    return argument;
}

int main(void) {
    const int k[KINDS] = {SIGUSR2, SIGRTMIN + 3, SIGUSR1, SIGRTMIN + 1, SIGHUP};
    const int s[SENT] = {k[0], k[1], k[2], k[3], k[4], k[3], k[1]};
    memcpy(kinds, k, sizeof k);
    memcpy(sent, s, sizeof s);
    sigemptyset(&none);
    sigemptyset(&all);
    for (int i = 0; i < KINDS; i++) sigaddset(&all, kinds[i]);
    SAME(pthread_sigmask(SIG_BLOCK, &all, NULL), 0);
    for (int apart = 0; apart < 2; apart++) {
        struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
        if (apart) sigfillset(&action.sa_mask);
        for (int i = 0; i < KINDS; i++) SAME(sigaction(kinds[i], &action, NULL), 0);
        say(apart ? "each blocks the others" : "they nest");
        for (int way = UNBLOCK; way <= FETCH; way++) join(start(body, (void*)(intptr_t)way));
    }
    handled[0] = '\0';
    fetch_all();
    say("left by threads that have ended:%s", handled);
    join(start(change_mask, NULL));
    return 0;
}
