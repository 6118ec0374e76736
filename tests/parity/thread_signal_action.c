/* What sigaction tells of an action is what was set: the whole mask, without the signals that
 * cannot be blocked. Its handler runs with that mask, and the thread has its own afterwards.
 *
 * PARITY: threads=1 */
#include "parity.h"

static void tell(const char* what, const sigset_t* set) {
    char text[65];
    for (int i = 1; i < 65; i++) text[i - 1] = sigismember(set, i) == 1 ? '1' : '0';
    text[64] = '\0';
    say("%s: %s", what, text);
}

static sigset_t in_handler;
static void on_signal(int signal) {
    (void)signal;
    pthread_sigmask(SIG_BLOCK, NULL, &in_handler);
}

static void* act(void* when) {
    struct sigaction action, told;
    sigset_t afterwards;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    sigfillset(&action.sa_mask);
    SAME(sigaction(SIGUSR1, &action, NULL), 0);
    SAME(sigaction(SIGUSR1, NULL, &told), 0);
    say("%s", (const char*)when);
    tell("told", &told.sa_mask);
    SAME(raise(SIGUSR1), 0);
    tell("in the handler", &in_handler);
    SAME(pthread_sigmask(SIG_BLOCK, NULL, &afterwards), 0);
    tell("afterwards", &afterwards);
    return when;
}

int main(void) {
    char in_thread[] = "in a thread", after[] = "in the first thread";
    join(start(act, in_thread));
    act(after);
    return 0;
}
