/* Duplicates share the description: data reach whoever reads first, the end comes when the last
 * duplicate is closed, a duplicate works after the original number is gone, a thread that waits
 * through one number is not disturbed by what happens to another.
 *
 * PARITY: switches=20 threads=8 */
#include "parity.h"

static void* read_word(void* argument) {
    char word[5] = "";
    SAME(read((int)(intptr_t)argument, word, 4), 4);
    SAME(strcmp(word, "word"), 0);
    return NULL;
}

static void* read_end(void* argument) {
    char byte;
    SAME(read((int)(intptr_t)argument, &byte, 1), 0);
    return NULL;
}

int main(void) {
    start_ticking();
    for (int kind = 0; kind < 3; kind++) {
        int ends[2];
        if (kind == 0) SAME(pipe(ends), 0);
        if (kind == 1) unix_pair(ends);
        if (kind == 2) tcp_pair(ends);

        int copy = dup(ends[0]);
        pthread_t thread = start(read_word, (void*)(intptr_t)ends[0]);
        wait_ticks(3);
        SAME(write(ends[1], "word", 4), 4);
        join(thread);
        SAME(close(ends[0]), 0); /* the number that was waited on goes, the copy stays */
        thread = start(read_word, (void*)(intptr_t)copy);
        wait_ticks(3);
        SAME(write(ends[1], "word", 4), 4);
        join(thread);

        SAME(dup2(copy, ends[0]), ends[0]); /* and comes back */
        SAME(close(copy), 0);
        thread = start(read_word, (void*)(intptr_t)ends[0]);
        wait_ticks(3);
        SAME(write(ends[1], "word", 4), 4);
        join(thread);

        copy = dup(ends[0]);
        thread = start(read_word, (void*)(intptr_t)ends[0]);
        wait_ticks(3);
        SAME(close(copy), 0); /* while a thread waits through the original */
        SAME(dup2(ends[0], ends[0]), ends[0]);
        wait_ticks(3);
        SAME(write(ends[1], "word", 4), 4);
        join(thread);

        int writer = dup(ends[1]);
        thread = start(read_end, (void*)(intptr_t)ends[0]);
        SAME(close(ends[1]), 0);
        wait_ticks(3);
        SAME(close(writer), 0);
        join(thread);
        SAME(close(ends[0]), 0);
        say("%s: duplicates", kind == 0 ? "pipe" : kind == 1 ? "Unix" : "TCP");
    }
    FAILS(dup(-1), EBADF);
    FAILS(dup2(900, 901), EBADF);
    FAILS(dup3(0, 0, 0), EINVAL);
    FAILS(dup2(0, 1 << 30), EBADF);
    FAILS(fcntl(0, F_DUPFD, 1 << 30), EINVAL);
    say("EBADF, EINVAL");
    stop_ticking();
    return 0;
}
