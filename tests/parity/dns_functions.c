/* The resolver's own functions (res_query, res_search, res_send ... and their forms with a state)
 * and the older ones on top of it, asked by several threads of a name server that is a thread of
 * this program. Each thread has its own _res.
 *
 * PARITY: switches=50 threads=7 */
#include "dns_server.h"

enum { THREADS = 4 };

static int last_byte(const unsigned char* answer, int size) {
    return size > 0 ? answer[size - 1] : -1;
}

static void* ask(void* argument) {
    int me = (int)(intptr_t)argument;
    unsigned char question[512], answer[512];
    char name[64], part[16];
    SAME(res_init(), 0);
    use_dns(&_res);
    snprintf(name, sizeof name, "host%d.test", me);
    snprintf(part, sizeof part, "host%d", me);
    SAME(last_byte(answer, res_query(name, C_IN, T_A, answer, sizeof answer)), me);
    SAME(last_byte(answer, res_search(name, C_IN, T_A, answer, sizeof answer)), me);
    SAME(last_byte(answer, res_querydomain(part, "test", C_IN, T_A, answer, sizeof answer)), me);
    int size = res_mkquery(QUERY, name, C_IN, T_A, NULL, 0, NULL, question, sizeof question);
    CHECK(size > 0);
    SAME(last_byte(answer, res_send(question, size, answer, sizeof answer)), me);

    struct __res_state state;
    memset(&state, 0, sizeof state);
    SAME(res_ninit(&state), 0);
    use_dns(&state);
    SAME(last_byte(answer, res_nquery(&state, name, C_IN, T_A, answer, sizeof answer)), me);
    SAME(last_byte(answer, res_nsearch(&state, name, C_IN, T_A, answer, sizeof answer)), me);
    SAME(
        last_byte(answer, res_nquerydomain(&state, part, "test", C_IN, T_A, answer, sizeof answer)),
        me);
    size = res_nmkquery(&state, QUERY, name, C_IN, T_A, NULL, 0, NULL, question, sizeof question);
    SAME(last_byte(answer, res_nsend(&state, question, size, answer, sizeof answer)), me);
    SAME(res_nquery(&state, "nobody.example", C_IN, T_A, answer, sizeof answer), -1);
    res_nclose(&state);
    SAME(res_query("nobody.example", C_IN, T_A, answer, sizeof answer), -1);
    SAME(h_errno, HOST_NOT_FOUND);

    struct hostent entry, *found = NULL;
    char space[1000];
    int error = 0;
    SAME(gethostbyname2_r(name, AF_INET, &entry, space, sizeof space, &found, &error), 0);
    CHECK(found != NULL);
    in_addr_t address = htonl(0x0a000000u + (unsigned)me);
    SAME(gethostbyaddr_r(&address, sizeof address, AF_INET, &entry, space, sizeof space, &found,
                         &error),
         0);
    CHECK(found != NULL && strcmp(found->h_name, name) == 0);
    return NULL;
}

int main(void) {
    start_ticking();
    start_dns();
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) threads[i] = start(ask, (void*)(intptr_t)(i + 1));
    for (int i = 0; i < THREADS; i++) join(threads[i]);
    say("all asked, all answered");
    SAME(res_init(), 0);
    use_dns(&_res);
    struct hostent* found = gethostbyname("host7.test");
    say("gethostbyname %s", found != NULL ? found->h_name : "nobody");
    found = gethostbyname2("host8.test", AF_INET);
    say("gethostbyname2 %s", found != NULL ? found->h_name : "nobody");
    in_addr_t address = htonl(0x0a000009);
    found = gethostbyaddr(&address, sizeof address, AF_INET);
    say("gethostbyaddr %s", found != NULL ? found->h_name : "nobody");
    stop_dns();
    stop_ticking();
    return 0;
}
