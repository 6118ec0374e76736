/* Names looked up asynchronously: getaddrinfo_a with and without waiting, gai_suspend for some of
 * them and for none, a wrong mode.
 *
 * PARITY: switches=5 threads=2 */
#include "parity.h"

#include <netdb.h>

int main(void) {
    start_ticking();
    struct gaicb a, b;
    memset(&a, 0, sizeof a);
    memset(&b, 0, sizeof b);
    a.ar_name = "127.0.0.1";
    b.ar_name = "localhost";
    struct gaicb* list[] = {&a, &b, NULL};
    SAME(getaddrinfo_a(GAI_WAIT, list, 3, NULL), 0);
    SAME(gai_error(&a), 0);
    SAME(gai_error(&b), 0);
    CHECK(a.ar_result != NULL && b.ar_result != NULL);
    SAME(gai_suspend((const struct gaicb* const*)list, 3, NULL), EAI_ALLDONE);
    freeaddrinfo(a.ar_result);
    freeaddrinfo(b.ar_result);
    SAME(getaddrinfo_a(GAI_NOWAIT, list, 2, NULL), 0);
    while (gai_error(&a) == EAI_INPROGRESS || gai_error(&b) == EAI_INPROGRESS) {
        struct timespec far = timespec_ms(10000);
        int r = gai_suspend((const struct gaicb* const*)list, 2, &far);
        CHECK(r == 0 || r == EAI_ALLDONE);
    }
    freeaddrinfo(a.ar_result);
    freeaddrinfo(b.ar_result);
    SAME(getaddrinfo_a(hidden(7), list, 2, NULL), EAI_SYSTEM);
    say("getaddrinfo_a");
    stop_ticking();
    return 0;
}
