/* A hundred threads compute without a call, and one talks to another process through pipes: whoever
 * is woken by what comes from outside runs before those that use up their slices, so a hundred
 * questions are answered in the time of about as many slices, not a hundred times that. Every one
 * of the hundred gets on meanwhile.
 *
 * PARITY: threads=100 switches=100
 */
#include "thread.h"

enum { hogs = 100, questions = 100 };
static volatile unsigned long turns[hogs];
static volatile int stop;

static void* compute(void* argument) {
    while (!stop) turns[(long)argument]++;
    return NULL;
}

int main(void) {
    int to[2], from[2];
    char byte = 'x';
    pthread_t hog[hogs];
    CHECK(pipe(to) == 0 && pipe(from) == 0);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        close(to[1]);
        while (read(to[0], &byte, 1) == 1) {
            nap(2); /* so that the other side has to wait */
            CHECK(write(from[1], &byte, 1) == 1);
        }
        _exit(0);
    }
    for (long i = 0; i < hogs; i++) hog[i] = spawn(compute, (void*)i);
    for (int i = 0; i < questions; i++) {
        CHECK(write(to[1], &byte, 1) == 1);
        CHECK(read(from[0], &byte, 1) == 1);
    }
    printf("answered: %d\n", questions);
    for (int i = 0; i < hogs; i++)
        while (turns[i] == 0) nap(1);
    stop = 1;
    for (int i = 0; i < hogs; i++) finish(hog[i]);
    close(to[1]);
    CHECK(child_status(child) == 0);
    printf("all had a turn\n");
    return 0;
}
