/* select and pselect: sets in and out, the highest descriptor, timeouts (select leaves what remains
 * of the time, pselect leaves its argument alone), no sets as a sleep, exceptional conditions, the
 * errors.
 *
 * PARITY: switches=10 threads=4 */
#include "parity.h"

static void* write_soon(void* argument) {
    wait_ticks(4);
    SAME(write((int)(intptr_t)argument, "x", 1), 1);
    return NULL;
}

static void* send_urgent(void* argument) {
    wait_ticks(4);
    SAME(send((int)(intptr_t)argument, "!", 1, MSG_OOB), 1);
    return NULL;
}

int main(void) {
    start_ticking();
    int a[2], b[2];
    SAME(pipe(a), 0);
    unix_pair(b);
    fd_set in, out, except;

    FD_ZERO(&in);
    FD_SET(a[0], &in);
    FD_SET(b[0], &in);
    struct timeval wait = timeval_ms(0);
    SAME(select(b[1] + 1, &in, NULL, NULL, &wait), 0);
    CHECK(!FD_ISSET(a[0], &in) && !FD_ISSET(b[0], &in));
    say("nothing there");

    FD_SET(a[0], &in);
    wait = timeval_ms(80);
    double begun = now_ms();
    long before = ticks();
    SAME(select(b[1] + 1, &in, NULL, NULL, &wait), 0);
    CHECK(now_ms() - begun >= 80);
    CHECK(ticks() > before);
    SAME(wait.tv_sec * 1000000 + wait.tv_usec, 0);
    wait = timeval_ms(60);
    begun = now_ms();
    SAME(select(0, NULL, NULL, NULL, &wait), 0);
    CHECK(now_ms() - begun >= 60);
    struct timespec pause = timespec_ms(60);
    begun = now_ms();
    SAME(pselect(0, NULL, NULL, NULL, &pause, NULL), 0);
    CHECK(now_ms() - begun >= 60);
    SAME(pause.tv_nsec, 60000000);
    say("timeouts");

    FD_SET(a[0], &in);
    FD_SET(b[0], &in);
    wait = timeval_ms(30000);
    pthread_t thread = start(write_soon, (void*)(intptr_t)b[1]);
    SAME(select(b[1] + 1, &in, NULL, NULL, &wait), 1);
    CHECK(!FD_ISSET(a[0], &in) && FD_ISSET(b[0], &in));
    CHECK(wait.tv_sec > 0 && wait.tv_sec < 30);
    join(thread);
    say("one of two, and the time that remains");

    FD_SET(a[0], &in);
    FD_ZERO(&out);
    FD_SET(b[0], &out);
    FD_SET(b[1], &out);
    FD_SET(a[1], &out);
    SAME(select(b[1] + 1, &in, &out, NULL, NULL), 4); /* b[0] counts twice */
    CHECK(FD_ISSET(b[0], &in) && FD_ISSET(b[0], &out) && FD_ISSET(a[1], &out));
    CHECK(!FD_ISSET(a[0], &in));
    FD_SET(a[0], &in);
    wait = timeval_ms(0);
    SAME(select(a[0] + 1, &in, NULL, NULL, &wait), 0); /* b[0] lies above, nobody looks */
    say("in and out");

    FD_ZERO(&in);
    FD_SET(a[0], &in);
    thread = start(write_soon, (void*)(intptr_t)a[1]);
    sigset_t none;
    sigemptyset(&none);
    SAME(pselect(a[0] + 1, &in, NULL, NULL, NULL, &none), 1);
    CHECK(FD_ISSET(a[0], &in));
    join(thread);
    char byte;
    SAME(read(a[0], &byte, 1), 1);
    SAME(close(a[1]), 0);
    SAME(select(a[0] + 1, &in, NULL, NULL, NULL), 1); /* the end is readable */
    say("for ever, and the end");

    int pair[2];
    tcp_pair(pair);
    FD_ZERO(&except);
    FD_SET(pair[0], &except);
    thread = start(send_urgent, (void*)(intptr_t)pair[1]);
    SAME(select(pair[1] + 1, NULL, NULL, &except, NULL), 1);
    CHECK(FD_ISSET(pair[0], &except));
    join(thread);
    say("urgent data");

    FD_ZERO(&in);
    FD_SET(pair[0], &in);
    SAME(close(pair[0]), 0);
    FAILS(select(pair[0] + 1, &in, NULL, NULL, NULL), EBADF);
    FAILS(select(-1, NULL, NULL, NULL, NULL), EINVAL);
    wait.tv_sec = -1;
    FAILS(select(0, NULL, NULL, NULL, &wait), EINVAL);
    pause.tv_nsec = 1000000000;
    FAILS(pselect(0, NULL, NULL, NULL, &pause, NULL), EINVAL);
    say("EBADF, EINVAL");
    stop_ticking();
    return 0;
}
