/* Several threads and one FILE: lines written by many are never torn; flockfile holds the others
 * off across a sleep and nests; ftrylockfile says no; a thread that waits in fgets keeps the FILE
 * locked, so a second reader queues behind it, while threads with other business go on;
 * putc_unlocked under the lock.
 *
 * PARITY: switches=50 threads=20 */
#include "parity.h"

enum { WRITERS = 8, LINES = 60 };

static FILE *in, *out;
static long holding, entered, got;

static void* write_lines(void* argument) {
    int me = (int)(intptr_t)argument;
    for (int i = 0; i < LINES; i++) {
        if (i % 3 == 0) fprintf(out, "%d says %d and %s\n", me, i, "some more words to be torn");
        if (i % 3 == 1) {
            flockfile(out);
            flockfile(out); /* nests */
            fprintf(out, "%d ", me);
            usleep(100);
            fputs("says ", out);
            funlockfile(out);
            fprintf(out, "%d and", i);
            for (const char* c = " some more words to be torn\n"; *c; c++) putc_unlocked(*c, out);
            funlockfile(out);
        }
        if (i % 3 == 2) {
            char line[100];
            snprintf(line, sizeof line, "%d says %d and some more words to be torn\n", me, i);
            fputs(line, out);
            if (i % 30 == 2) fflush(out);
        }
    }
    return NULL;
}

static void* hold_lock(void* argument) {
    FILE* stream = (FILE*)argument;
    flockfile(stream);
    set_to(&holding, 1);
    wait_ticks(10);
    SAME(value_of(&entered), 0); /* the other one waits */
    fputs("first\n", stream);
    set_to(&holding, 0);
    funlockfile(stream);
    return NULL;
}

static void* enter_lock(void* argument) {
    FILE* stream = (FILE*)argument;
    fputs("second\n", stream); /* waits for the lock */
    add_to(&entered, 1);
    return NULL;
}

static void* read_line(void* argument) {
    char line[32];
    (void)argument;
    CHECK(fgets(line, sizeof line, in) != NULL);
    SAME(strcmp(line, "a line\n"), 0);
    add_to(&got, 1);
    return NULL;
}

static void* write_all_lines(void* argument) {
    pthread_t writers[WRITERS];
    (void)argument;
    for (int i = 0; i < WRITERS; i++) writers[i] = start(write_lines, (void*)(intptr_t)i);
    for (int i = 0; i < WRITERS; i++) join(writers[i]);
    SAME(fclose(out), 0);
    return NULL;
}

static void whole_lines(int to_pipe) {
    int ends[2];
    if (to_pipe) {
        SAME(pipe(ends), 0);
        in = fdopen(ends[0], "r");
        out = fdopen(ends[1], "w");
    } else {
        out = fopen("lines", "w");
        in = fopen("lines", "r");
    }
    CHECK(in != NULL && out != NULL);
    pthread_t writer = start(write_all_lines, NULL);
    if (!to_pipe) join(writer);
    char line[200];
    int count[WRITERS] = {0};
    for (int i = 0, who, number; i < WRITERS * LINES; i++) {
        char end[40] = "";
        if (i % 40 == 0) wait_ticks(1); /* over a pipe the writers are blocked now and then */
        CHECK(fgets(line, sizeof line, in) != NULL);
        SAME(sscanf(line, "%d says %d and %39[a-z ]", &who, &number, end), 3);
        SAME(strcmp(end, "some more words to be torn"), 0);
        SAME(number, count[who]++);
    }
    CHECK(fgets(line, sizeof line, in) == NULL);
    if (to_pipe) join(writer);
    fclose(in);
    say("%s: %d lines whole and in order", to_pipe ? "pipe" : "file", WRITERS * LINES);
}

int main(void) {
    start_ticking();
    whole_lines(0);
    whole_lines(1);

    out = fopen("lock", "w+");
    pthread_t holder = start(hold_lock, out);
    wait_for(&holding, 1);
    pthread_t other = start(enter_lock, out);
    SAME(ftrylockfile(out) != 0, 1);
    join(holder);
    join(other);
    SAME(ftrylockfile(out), 0);
    funlockfile(out);
    rewind(out);
    char line[32];
    while (fgets(line, sizeof line, out) != NULL) printf("%s", line);
    fclose(out);
    say("flockfile holds others off");

    int ends[2];
    SAME(pipe(ends), 0);
    in = fdopen(ends[0], "r");
    pthread_t readers[3];
    for (int i = 0; i < 3; i++) readers[i] = start(read_line, NULL);
    wait_ticks(5);
    SAME(ftrylockfile(in) != 0, 1); /* one of them waits inside */
    for (int i = 1; i <= 3; i++) {
        SAME(write(ends[1], "a line\n", 7), 7);
        wait_for(&got, i);
    }
    for (int i = 0; i < 3; i++) join(readers[i]);
    SAME(close(ends[1]), 0);
    fclose(in);
    say("readers queue behind the one that waits");
    stop_ticking();
    return 0;
}
