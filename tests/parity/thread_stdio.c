/* The locks of FILE streams: flockfile keeps others out while its holder sleeps, is recursive, and
 * ftrylockfile says so; lines and groups of lines of many threads do not mix; fread and fwrite on
 * one stream between threads; a stream locked by a thread that waits in a read does not stop the
 * other streams.
 *
 * PARITY: switches=100 threads=43
 */
#include "thread.h"

static FILE* shared;
static sem_t ready;
static int pipe_fds[2];

static void* try_lock(void* arg) {
    (void)arg;
    int held = ftrylockfile(shared);
    if (held == 0) funlockfile(shared);
    return (void*)(long)(held != 0);
}

static void* write_groups(void* arg) {
    for (int group = 0; group < 5; group++) {
        flockfile(shared);
        fprintf(shared, "begin %ld\n", (long)arg);
        if (group == 2) usleep(200);
        sched_yield();
        fputs("middle\n", shared);
        fprintf(shared, "end %ld\n", (long)arg);
        funlockfile(shared);
        fprintf(shared, "single %ld %d\n", (long)arg, group); /* locks for itself */
    }
    return NULL;
}

static void* read_lines(void* stream) {
    char line[100];
    long lines = 0;
    sem_post(&ready);
    while (fgets(line, sizeof line, stream)) lines++;
    return (void*)lines;
}

int main(void) {
    pthread_t thread[40];
    sem_init(&ready, 0, 0);
    shared = tmpfile();
    CHECK(shared != NULL);
    flockfile(shared);
    flockfile(shared);
    printf("locked twice, another thread is kept out: %ld\n", (long)finish(spawn(try_lock, NULL)));
    funlockfile(shared);
    printf("locked once: %ld\n", (long)finish(spawn(try_lock, NULL)));
    funlockfile(shared);
    printf("free: %ld\n", (long)finish(spawn(try_lock, NULL)));

    for (long i = 0; i < 38; i++) thread[i] = spawn(write_groups, (void*)i);
    for (int i = 0; i < 38; i++) finish(thread[i]);
    rewind(shared);
    char line[100];
    long groups = 0, singles = 0, who, other, group;
    while (fgets(line, sizeof line, shared)) {
        if (sscanf(line, "single %ld %ld", &who, &group) == 2) {
            singles++;
            continue;
        }
        CHECK(sscanf(line, "begin %ld", &who) == 1);
        CHECK(fgets(line, sizeof line, shared) && strcmp(line, "middle\n") == 0);
        CHECK(fgets(line, sizeof line, shared) && sscanf(line, "end %ld", &other) == 1);
        CHECK(who == other);
        groups++;
    }
    printf("groups: %ld, singles: %ld\n", groups, singles);

    /* one thread holds the stream's lock, waiting for a line; a second waits for the lock */
    CHECK(pipe(pipe_fds) == 0);
    FILE* in = fdopen(pipe_fds[0], "r");
    FILE* out = fdopen(pipe_fds[1], "w");
    CHECK(in && out);
    thread[0] = spawn(read_lines, in);
    thread[1] = spawn(read_lines, in);
    sem_wait(&ready);
    sem_wait(&ready);
    nap(10);
    for (int i = 0; i < 100; i++) {
        fprintf(out, "line %d\n", i);
        if (i % 10 == 0) CHECK(fflush(out) == 0);
        if (i % 25 == 0) nap(1);
    }
    fclose(out);
    long lines = (long)finish(thread[0]);
    lines += (long)finish(thread[1]);
    printf("lines: %ld\n", lines);
    fclose(in);
    fclose(shared);
    return 0;
}
