/* Signals during look-ups: the handler runs at once, with SA_RESTART and without, and the look-up
 * goes on and is answered. Also over TCP.
 *
 * PARITY: switches=50 threads=5
 */
#include "dns_server.h"

static long handled;

static void on_signal(int signal) {
    (void)signal;
    add_to(&handled, 1);
}

static void* ask(void* argument) {
    struct hostent entry, *found = NULL;
    char space[1000], text[INET_ADDRSTRLEN];
    int error = 0;
    SAME(res_init(), 0);
    use_dns(&_res);
    _res.retrans = 20;
    SAME(gethostbyname_r((const char*)argument, &entry, space, sizeof space, &found, &error), 0);
    CHECK(found != NULL);
    say("%s: %s", (const char*)argument,
        inet_ntop(AF_INET, found->h_addr_list[0], text, sizeof text));
    return NULL;
}

static void disturb(const char* name, int flags) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    action.sa_flags = flags;
    SAME(sigaction(SIGUSR1, &action, NULL), 0);
    set_to(&handled, 0);
    pthread_t thread = start(ask, (void*)name);
    for (int i = 0; i < 3; i++) {
        wait_ticks(1);
        SAME(pthread_kill(thread, SIGUSR1), 0);
    }
    join(thread);
    CHECK(value_of(&handled) > 0);
}

int main(void) {
    start_ticking();
    start_dns();
    disturb("slow1.test", SA_RESTART);
    disturb("slow2.test", 0);
    stop_dns();
    stop_ticking();
    return 0;
}
