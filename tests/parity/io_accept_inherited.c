/* A listener shared with child processes (forked, spawned): poll reports a connection here, but the
 * child takes it. The parent's accept afterwards has to wait for the next one, and stops nobody:
 * the thread that will connect sleeps and ticks first. The same for bytes of a shared pipe.
 *
 * PARITY: switches=20 threads=6 */
#include "parity.h"

#include <spawn.h>

extern char** environ;

/* The child, in whichever way it was made: it waits for the word and takes one connection. */
static int take_one(int listener, int word) {
    char byte;
    if (read(word, &byte, 1) != 1) return 90;
    if (fcntl(listener, F_GETFL) & O_NONBLOCK) return 91;
    int fd = accept(listener, NULL, NULL);
    if (fd < 0) return 92;
    return write(fd, "child", 5) == 5 ? 0 : 93;
}

static pid_t fork_child(int listener, int word) {
    pid_t child = fork();
    if (child == 0) _exit(take_one(listener, word));
    return child;
}

static pid_t spawn_child(int listener, int word) {
    char program[] = "/proc/self/exe", first[16], second[16];
    char* const arguments[] = {program, first, second, NULL};
    pid_t child;
    snprintf(first, sizeof first, "%d", listener);
    snprintf(second, sizeof second, "%d", word);
    SAME(posix_spawn(&child, program, NULL, NULL, arguments, environ), 0);
    return child;
}

static int port;

/* Connects and says who answered. */
static void* connect_once(void* delay) {
    char data[8] = "";
    wait_ticks((long)(intptr_t)delay);
    int fd = tcp_connect(port);
    read_all(fd, data, sizeof data - 1);
    say("answered by the %s", data);
    SAME(close(fd), 0);
    return NULL;
}

static void with_child(const char* how, pid_t (*make)(int, int)) {
    int listener = tcp_listen(8), word[2], status = 0;
    port = port_of(listener);
    SAME(pipe(word), 0);
    say("%s", how);
    pid_t child = make(listener, word[0]);
    CHECK(child > 0);
    pthread_t thread = start(connect_once, (void*)5);
    struct pollfd ready = {listener, POLLIN, 0};
    SAME(poll(&ready, 1, -1), 1);
    SAME(write(word[1], "!", 1), 1);
    SAME(waitpid(child, &status, 0), child);
    CHECK(WIFEXITED(status));
    SAME(WEXITSTATUS(status), 0);
    join(thread);
    thread = start(connect_once, (void*)20);
    int fd = accept(listener, NULL, NULL);
    CHECK(fd >= 0);
    SAME(write(fd, "parent", 6), 6);
    SAME(close(fd), 0);
    join(thread);
    SAME(close(listener), 0);
    SAME(close(word[0]), 0);
    SAME(close(word[1]), 0);
}

static int shared[2];

static void* write_later(void* argument) {
    wait_ticks(20);
    SAME(write(shared[1], "more", 4), 4);
    return argument;
}

static void with_pipe(void) {
    char data[8];
    int status = 0;
    SAME(pipe(shared), 0);
    SAME(write(shared[1], "word", 4), 4);
    struct pollfd ready = {shared[0], POLLIN, 0};
    SAME(poll(&ready, 1, -1), 1);
    pid_t child = fork();
    if (child == 0) _exit((int)read(shared[0], data, sizeof data));
    SAME(waitpid(child, &status, 0), child);
    SAME(WEXITSTATUS(status), 4);
    pthread_t thread = start(write_later, NULL);
    SAME(read(shared[0], data, sizeof data), 4);
    SAME(memcmp(data, "more", 4), 0);
    join(thread);
    say("a shared pipe");
}

int main(int count, char** arguments) {
    if (count == 3) return take_one(atoi(arguments[1]), atoi(arguments[2]));
    start_ticking();
    with_child("forked", fork_child);
    with_child("spawned", spawn_child);
    with_pipe();
    stop_ticking();
    return 0;
}
