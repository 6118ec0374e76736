/* popen, system and posix_spawn in threads while others tick: output read, input written, statuses,
 * pclose and system waiting for slow children, a child that is released only by another thread of
 * ours (so waiting for it must not stop that thread).
 *
 * PARITY: switches=20 threads=8 */
#include "parity.h"

#include <spawn.h>

extern char** environ;

static void* write_fifo(void* argument) {
    (void)argument;
    wait_ticks(5);
    int fd = open("fifo", O_WRONLY | O_NONBLOCK);
    while (fd < 0) { /* the child has not opened it yet */
        CHECK(errno == ENXIO);
        wait_ticks(1);
        fd = open("fifo", O_WRONLY | O_NONBLOCK);
    }
    SAME(write(fd, "line one\nline two\n", 18), 18);
    SAME(close(fd), 0);
    return NULL;
}

static void* read_child(void* argument) {
    char line[64];
    int sum = 0, number = (int)(intptr_t)argument;
    snprintf(line, sizeof line, "for i in 1 2 3; do sleep 0.02; echo $((i * %d)); done", number);
    FILE* stream = popen(line, "r");
    CHECK(stream != NULL);
    while (fgets(line, sizeof line, stream) != NULL) sum += atoi(line);
    SAME(pclose(stream), 0);
    SAME(sum, 6 * number);
    return NULL;
}

static void* spawn_child(void* argument) {
    posix_spawn_file_actions_t actions;
    int ends[2], status = 0;
    pid_t child;
    char script[] = "read word; echo \"got $word\"; exit 6";
    char name[] = "sh", option[] = "-c", *arguments[] = {name, option, script, NULL};
    (void)argument;
    unix_pair(ends);
    for (int i = 0; i < 2; i++) SAME(fcntl(ends[i], F_SETFD, FD_CLOEXEC), 0);
    SAME(posix_spawn_file_actions_init(&actions), 0);
    SAME(posix_spawn_file_actions_adddup2(&actions, ends[1], 0), 0);
    SAME(posix_spawn_file_actions_adddup2(&actions, ends[1], 1), 0);
    SAME(posix_spawn(&child, "/bin/sh", &actions, NULL, arguments, environ), 0);
    SAME(posix_spawn_file_actions_destroy(&actions), 0);
    SAME(close(ends[1]), 0);
    SAME(write(ends[0], "hello\n", 6), 6);
    char text[32] = "";
    SAME(read_all(ends[0], text, sizeof text), 10);
    SAME(strcmp(text, "got hello\n"), 0);
    SAME(waitpid(child, &status, 0), child);
    SAME(WEXITSTATUS(status), 6);
    SAME(close(ends[0]), 0);
    return NULL;
}

int main(void) {
    start_ticking();
    SAME(mkfifo("fifo", 0600), 0);
    pthread_t thread = start(write_fifo, NULL);
    FILE* stream = popen("cat fifo; exit 3", "r");
    char line[64];
    while (fgets(line, sizeof line, stream) != NULL) say("popen: %.8s", line);
    SAME(WEXITSTATUS(pclose(stream)), 3);
    join(thread);

    thread = start(write_fifo, NULL);
    SAME(WEXITSTATUS(system("cat fifo; exit 4")), 4);
    join(thread);

    thread = start(write_fifo, NULL);
    stream = popen("cat fifo > copy", "w");
    SAME(WEXITSTATUS(pclose(stream)), 0); /* waits for the child, the child for the thread */
    join(thread);
    struct stat facts;
    SAME(stat("copy", &facts), 0);
    SAME(facts.st_size, 18);
    say("popen, system, pclose wait for one thread only");

    stream = popen("tr a-z A-Z", "w");
    for (int i = 0; i < 3; i++) fprintf(stream, "written to a child %d\n", i);
    SAME(pclose(stream), 0);
    SAME(WTERMSIG(system("kill -TERM $$")), SIGTERM);
    SAME(WEXITSTATUS(system("no-such-command-here 2>/dev/null")), 127);
    CHECK(system(NULL) != 0);
    say("statuses");

    pthread_t threads[8];
    for (int i = 0; i < 8; i++)
        threads[i] = i % 2 ? start(spawn_child, NULL) : start(read_child, (void*)(intptr_t)(i + 1));
    for (int i = 0; i < 8; i++) join(threads[i]);
    say("eight threads with a child each");
    char missing[] = "/no/such/program", *arguments[] = {missing, NULL};
    pid_t child;
    SAME(posix_spawn(&child, missing, NULL, NULL, arguments, environ), ENOENT);
    SAME(posix_spawnp(&child, "no-such-program", NULL, NULL, arguments, environ), ENOENT);
    say("ENOENT");
    stop_ticking();
    return 0;
}
