/* Threads that are cancelled while they look names up: the wait ends at once, clean-up handlers
 * run, others who ask for the same name at the same time get their answers; a look-up with
 * cancellation disabled is finished first. Threads made afterwards look up as if nothing had been.
 *
 * PARITY: switches=50 threads=64
 */
#include "dns_server.h"

enum { CANCELLED = 20, OTHERS = 20 };
static long cleaned, asking;

static void clean(void* argument) {
    (void)argument;
    add_to(&cleaned, 1);
}

static int look_up(const char* name, char* text) {
    struct addrinfo hints, *list = NULL;
    memset(&hints, 0, sizeof hints);
    hints.ai_family = AF_INET;
    hints.ai_socktype = SOCK_STREAM;
    SAME(res_init(), 0);
    use_dns(&_res);
    _res.retrans = 5;
    add_to(&asking, 1);
    int error = getaddrinfo(name, "80", &hints, &list);
    if (error != 0) return error;
    inet_ntop(AF_INET, &((struct sockaddr_in*)list->ai_addr)->sin_addr, text, INET_ADDRSTRLEN);
    freeaddrinfo(list);
    return 0;
}

static void* ask(void* argument) {
    char text[INET_ADDRSTRLEN] = "";
    void* result = (void*)1;
    pthread_cleanup_push(clean, NULL);
    SAME(look_up((const char*)argument, text), 0);
    result = strdup(text);
    pthread_cleanup_pop(0);
    return result;
}

static void* ask_undisturbed(void* argument) {
    char text[INET_ADDRSTRLEN] = "";
    int old;
    SAME(pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &old), 0);
    SAME(look_up((const char*)argument, text), 0);
    say("undisturbed: %s", text);
    SAME(pthread_setcancelstate(old, NULL), 0);
    pthread_testcancel();
    return NULL;
}

int main(void) {
    pthread_t cancelled[CANCELLED], others[OTHERS];
    start_ticking();
    start_dns();
    double begun = now_ms();
    for (int i = 0; i < CANCELLED; i++) cancelled[i] = start(ask, "mute1.test");
    wait_for(&asking, CANCELLED);
    wait_ticks(3);
    for (int i = 0; i < CANCELLED; i++) SAME(pthread_cancel(cancelled[i]), 0);
    for (int i = 0; i < CANCELLED; i++) CHECK(join(cancelled[i]) == PTHREAD_CANCELED);
    CHECK(now_ms() - begun < 4000);
    say("%ld cleaned up", value_of(&cleaned));

    pthread_t one = start(ask_undisturbed, "slow5.test");
    wait_for(&asking, CANCELLED + 1);
    SAME(pthread_cancel(one), 0);
    CHECK(join(one) == PTHREAD_CANCELED);

    /* The same name, asked by those who are cancelled and by those who are not. */
    for (int i = 0; i < CANCELLED; i++) {
        cancelled[i] = start(ask, "slow7.test");
        others[i] = start(ask, "slow7.test");
    }
    wait_for(&asking, 3 * CANCELLED + 1);
    for (int i = 0; i < CANCELLED; i++) SAME(pthread_cancel(cancelled[i]), 0);
    for (int i = 0; i < CANCELLED; i++) {
        void* text = join(cancelled[i]);
        if (text != PTHREAD_CANCELED) free(text);
    }
    for (int i = 0; i < OTHERS; i++) {
        char* text = (char*)join(others[i]);
        CHECK(strcmp(text, "10.0.0.7") == 0);
        free(text);
    }
    say("the others were answered");
    stop_dns();
    stop_ticking();
    return 0;
}
