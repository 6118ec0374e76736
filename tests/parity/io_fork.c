/* fork in a program with many threads: each of several threads forks a child and talks to it over
 * pipes; children compute, echo, make threads of their own, exec; parents read, write and wait for
 * them, all at the same time. After fork the child has one thread and the parent all of its own.
 *
 * PARITY: switches=30 threads=9 */
#include "parity.h"

enum { FAMILIES = 8, ROUNDS = 20 };

static __thread int mine;

static void* add_one(void* argument) {
    int* number = (int*)argument;
    usleep(1000);
    (*number)++;
    return NULL;
}

/* The child's side: answers each number, by way of a thread when odd; then its status. */
__attribute__((noreturn)) static void be_child(int in, int out, int id) {
    int number;
    if (mine != id) _exit(90);
    while (read(in, &number, sizeof number) == sizeof number) {
        if (number % 2) {
            pthread_t thread;
            if (pthread_create(&thread, NULL, add_one, &number) != 0) _exit(91);
            if (pthread_join(thread, NULL) != 0) _exit(92);
        } else {
            number++;
        }
        if (write(out, &number, sizeof number) != sizeof number) _exit(93);
    }
    _exit(40 + id);
}

static void* raise_child(void* argument) {
    int id = (int)(intptr_t)argument, there[2], back[2], number = id, status = 0;
    mine = id;
    SAME(pipe2(there, O_CLOEXEC), 0);
    SAME(pipe2(back, O_CLOEXEC), 0);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        /* Other families' pipes were inherited as well; their writers must not stay open here. */
        for (int fd = 3; fd < 100; fd++)
            if (fd != there[0] && fd != back[1]) close(fd);
        be_child(there[0], back[1], id);
    }
    SAME(close(there[0]), 0);
    SAME(close(back[1]), 0);
    for (int i = 0; i < ROUNDS; i++) {
        SAME(write(there[1], &number, sizeof number), sizeof number);
        SAME(read(back[0], &number, sizeof number), sizeof number);
    }
    SAME(number, id + ROUNDS);
    SAME(mine, id);
    SAME(close(there[1]), 0);
    SAME(waitpid(child, &status, 0), child);
    CHECK(WIFEXITED(status));
    SAME(WEXITSTATUS(status), 40 + id);
    SAME(read(back[0], &number, sizeof number), 0);
    SAME(close(back[0]), 0);
    return NULL;
}

static void* run_shell(void* argument) {
    int ends[2], status = 0;
    char text[64] = "";
    (void)argument;
    SAME(pipe2(ends, O_CLOEXEC), 0);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        dup2(ends[1], STDOUT_FILENO);
        execl("/bin/sh", "sh", "-c", "sleep 0.05; echo from the shell; exit 9", (char*)NULL);
        _exit(127);
    }
    SAME(close(ends[1]), 0);
    CHECK(read_all(ends[0], text, sizeof text - 1) > 0);
    SAME(waitpid(child, &status, 0), child);
    SAME(WEXITSTATUS(status), 9);
    SAME(close(ends[0]), 0);
    SAME(strcmp(text, "from the shell\n"), 0);
    return NULL;
}

int main(void) {
    start_ticking();
    pthread_t threads[FAMILIES];
    for (int i = 0; i < FAMILIES; i++) threads[i] = start(raise_child, (void*)(intptr_t)i);
    for (int i = 0; i < FAMILIES; i++) join(threads[i]);
    say("%d children answered %d times each", FAMILIES, ROUNDS);
    for (int i = 0; i < 4; i++) threads[i] = start(run_shell, NULL);
    for (int i = 0; i < 4; i++) join(threads[i]);
    say("4 shells");
    stop_ticking();
    return 0;
}
