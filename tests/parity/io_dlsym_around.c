/* A library of the program's with functions of its own around libc's, which it looks up (RTLD_NEXT,
 * a handle, a version): they are called once for each call, before there are threads and then.
 *
 * PARITY: switches=2 threads=1
 */
#include "parity.h"

#include <netdb.h>

extern int around_calls;

static void call_all(const char* when) {
    struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV}, *list;
    struct sigevent event = {.sigev_notify = SIGEV_NONE};
    struct itimerspec soon = {{0, 0}, {5, 0}}, left;
    timer_t timer;
    around_calls = 0;
    SAME(getaddrinfo("127.0.0.1", "80", &hints, &list), 0);
    freeaddrinfo(list);
    SAME(system("exit 3"), 3 << 8);
    SAME(timer_create(CLOCK_MONOTONIC, &event, &timer), 0);
    SAME(timer_settime(timer, 0, &soon, NULL), 0);
    SAME(timer_gettime(timer, &left), 0);
    CHECK(left.it_value.tv_sec > 0);
    SAME(timer_delete(timer), 0);
    say("%s: %d calls", when, around_calls);
}

static void* body(void* argument) {
    usleep(1000);
    call_all("in a thread");
    return argument;
}

int main(void) {
    call_all("without threads");
    join(start(body, NULL));
    call_all("afterwards");
    return 0;
}
