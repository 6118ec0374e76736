/* Standard input and output: lines of the input file read by a thread with fgets, then scanf, then
 * getchar up to the end; a pipe put in stdin's place, typed into by another thread; stdout turned
 * into a pipe whose reader is slow, so that printf waits and nobody else does.
 *
 * PARITY: switches=20 threads=4 stdin=stdio_stdin.txt */
#include "parity.h"

static int keys[2], screen[2];

static void* read_file(void* argument) {
    char line[100];
    int a, b;
    (void)argument;
    CHECK(fgets(line, sizeof line, stdin) != NULL);
    say("line: %.*s", (int)strcspn(line, "\n"), line);
    SAME(scanf("%d %d", &a, &b), 2);
    say("numbers: %d %d", a, b);
    int count = 0;
    while (getchar() != EOF) count++;
    say("%d characters more", count);
    CHECK(feof(stdin));
    return NULL;
}

static void* type_slowly(void* argument) {
    (void)argument;
    for (int i = 0; i < 5; i++) {
        wait_ticks(3);
        SAME(write(keys[1], "typed text\n", 11), 11);
    }
    SAME(close(keys[1]), 0);
    return NULL;
}

static void* read_screen(void* argument) {
    char data[5000];
    long total = 0, lines = 0;
    (void)argument;
    wait_ticks(10); /* the writer is blocked by now */
    for (ssize_t n; (n = read(screen[0], data, sizeof data)) > 0; total += n)
        for (ssize_t i = 0; i < n; i++) lines += data[i] == '\n';
    SAME(lines, 10000);
    return (void*)total;
}

int main(void) {
    start_ticking();
    join(start(read_file, NULL));
    clearerr(stdin);

    SAME(pipe(keys), 0);
    SAME(dup2(keys[0], STDIN_FILENO), STDIN_FILENO);
    SAME(close(keys[0]), 0);
    pthread_t typist = start(type_slowly, NULL);
    char line[100];
    int count = 0;
    while (fgets(line, sizeof line, stdin) != NULL) SAME(strcmp(line, "typed text\n"), 0), count++;
    join(typist);
    say("%d lines typed", count);

    int saved = dup(STDOUT_FILENO);
    SAME(pipe(screen), 0);
    SAME(dup2(screen[1], STDOUT_FILENO), STDOUT_FILENO);
    SAME(close(screen[1]), 0);
    pthread_t reader = start(read_screen, NULL);
    long before = ticks();
    for (int i = 0; i < 10000; i++) printf("a line on a slow screen, number %05d\n", i);
    fflush(stdout);
    CHECK(ticks() > before);
    SAME(dup2(saved, STDOUT_FILENO), STDOUT_FILENO); /* the last writer's end goes with this */
    say("%ld characters on a slow screen", (long)join(reader));
    stop_ticking();
    return 0;
}
