/* Functions found at run time: dlsym on the default scope, on libc's own handle, on the next object
 * and with a version all lead to calls that let the other threads go on.
 *
 * PARITY: switches=20 threads=12 */
#include "parity.h"

#include <dlfcn.h>

static int pair[2];

static void* write_soon(void* argument) {
    (void)argument;
    wait_ticks(4);
    SAME(write(pair[1], "x", 1), 1);
    return NULL;
}

static void wait_with(void* read_found, void* recv_found, void* poll_found, void* usleep_found) {
    ssize_t (*my_read)(int, void*, size_t);
    ssize_t (*my_recv)(int, void*, size_t, int);
    int (*my_poll)(struct pollfd*, nfds_t, int);
    int (*my_usleep)(useconds_t);
    CHECK(read_found && recv_found && poll_found && usleep_found);
    memcpy(&my_read, &read_found, sizeof my_read);
    memcpy(&my_recv, &recv_found, sizeof my_recv);
    memcpy(&my_poll, &poll_found, sizeof my_poll);
    memcpy(&my_usleep, &usleep_found, sizeof my_usleep);
    char byte;
    struct pollfd one = {pair[0], POLLIN, 0};
    pthread_t thread = start(write_soon, NULL);
    SAME(my_read(pair[0], &byte, 1), 1);
    join(thread);
    thread = start(write_soon, NULL);
    SAME(my_recv(pair[0], &byte, 1, 0), 1);
    join(thread);
    thread = start(write_soon, NULL);
    SAME(my_poll(&one, 1, -1), 1);
    SAME(my_read(pair[0], &byte, 1), 1);
    join(thread);
    long before = ticks();
    while (ticks() < before + 3) SAME(my_usleep(1000), 0);
}

int main(void) {
    start_ticking();
    unix_pair(pair);
    void* libc = dlopen("libc.so.6", RTLD_LAZY);
    CHECK(libc != NULL);
    void* scopes[3] = {RTLD_DEFAULT, RTLD_NEXT, libc};
    for (int i = 0; i < 3; i++) {
        wait_with(dlsym(scopes[i], "read"), dlsym(scopes[i], "recv"), dlsym(scopes[i], "poll"),
                  dlsym(scopes[i], "usleep"));
        say("scope %d", i);
    }
    wait_with(dlvsym(libc, "__read", "GLIBC_2.2.5"), dlvsym(libc, "recv", "GLIBC_2.2.5"),
              dlvsym(libc, "__poll", "GLIBC_2.2.5"), dlvsym(libc, "usleep", "GLIBC_2.2.5"));
    say("with a version, other names");
    stop_ticking();
    return 0;
}
