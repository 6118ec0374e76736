/* The resolver's own calls, res_nquery and res_nsearch with a state per thread: the socket work
 * inside libc (sendmmsg, poll, recvfrom, a TCP connection) waits for a server which is a thread of
 * this same program.
 *
 * PARITY: switches=100 threads=13 */
#include "dns_server.h"

enum { THREADS = 10, QUESTIONS = 20 };

static void* ask(void* argument) {
    int me = (int)(intptr_t)argument;
    struct __res_state state;
    memset(&state, 0, sizeof state);
    SAME(res_ninit(&state), 0);
    use_dns(&state);
    for (int i = 0; i < QUESTIONS; i++) {
        unsigned char answer[1024];
        char name[64];
        const char* kinds[4] = {"host", "host", "slow", "big"};
        int number = me * 50 + i;
        snprintf(name, sizeof name, "%s%d.test", kinds[i % 4], number);
        int size = res_nquery(&state, name, ns_c_in, ns_t_a, answer, sizeof answer);
        unsigned char address[4] = {10, 0, (unsigned char)(number / 256),
                                    (unsigned char)(number % 256)};
        CHECK(size > 16);
        SAME(answer[7], 1); /* one answer, whose end is the address */
        SAME(memcmp(answer + size - 4, address, 4), 0);
    }
    unsigned char answer[1024];
    errno = 0;
    SAME(res_nsearch(&state, "no.such.name", ns_c_in, ns_t_a, answer, sizeof answer), -1);
    SAME(errno, 0);
    SAME(state.res_h_errno, HOST_NOT_FOUND);
    SAME(res_nquery(&state, "odd1.test", ns_c_in, ns_t_a, answer, sizeof answer), -1);
    SAME(state.res_h_errno, NO_DATA); /* that is an answer, too: nobody is asked again */
    if (me == 0)
        CHECK(res_nquery(&state, "lost1.test", ns_c_in, ns_t_a, answer, sizeof answer) > 0);
    res_nclose(&state);
    return NULL;
}

int main(void) {
    start_ticking();
    start_dns();
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) threads[i] = start(ask, (void*)(intptr_t)i);
    for (int i = 0; i < THREADS; i++) join(threads[i]);
    say("%d threads asked %d questions each", THREADS, QUESTIONS);
    stop_dns();
    stop_ticking();
    return 0;
}
