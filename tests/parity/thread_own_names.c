/* A program may have functions of its own with names that libc has too: its calls find its own, and
 * nobody else's do. rt-tests define gettid by syscall(2), which asks for nothing else.
 *
 * PARITY: threads=2
 */
/* libc's declarations, out of the way */
#define gettid libc_gettid
#define send libc_send
#include "parity.h"
#undef gettid
#undef send

#include <sys/syscall.h>

static int own_calls = 0;

pid_t gettid(void) {
    ++own_calls;
    return (pid_t)syscall(SYS_gettid);
}

/* Another function altogether: libc's syslog, resolver and the like go on with libc's. */
long send(const char* text) {
    ++own_calls;
    return (long)strlen(text);
}

static void* body(void* fds) {
    CHECK(gettid() != getpid());
    SAME(syscall(SYS_sendto, ((int*)fds)[0], "hello", 5, 0, NULL, 0), 5);
    return NULL;
}

static void* talk(void* fds) {
    char text[8];
    SAME(recv(((int*)fds)[1], text, sizeof text, 0), 5);
    return NULL;
}

int main(void) {
    int fds[2];
    SAME(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    SAME(gettid(), getpid());
    pthread_t listener = start(talk, fds), speaker = start(body, fds);
    join(listener);
    join(speaker);
    SAME(send("text"), 4);
    say("%d calls of our own", own_calls);
    return 0;
}
