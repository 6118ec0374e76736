/* What threads freed is free when they have ended: two hundred threads at a time fill and empty the
 * heap with blocks of all sizes, and malloc's own books show no more in use afterwards than before.
 * A block may be freed by another thread than its maker, also by one that was made later.
 *
 * PARITY: threads=1000
 */
#include "thread.h"

#include <malloc.h>

enum { threads = 200, rounds = 5, sizes = 64, each = 8, handed = 16 };
static void* left_over[threads][handed];
static pthread_barrier_t all;

static void* body(void* argument) {
    long me = (long)argument;
    char* block[sizes][each];
    for (int i = 0; i < handed; i++) free(left_over[me][i]);
    for (int s = 0; s < sizes; s++)
        for (int i = 0; i < each; i++) {
            block[s][i] = malloc((size_t)(s + 1) * 16 - 8);
            CHECK(block[s][i] != NULL);
            block[s][i][0] = (char)me;
        }
    pthread_barrier_wait(&all);
    for (int s = 0; s < sizes; s++)
        for (int i = 0; i < each; i++) {
            CHECK(block[s][i][0] == (char)me);
            free(block[s][i]);
        }
    for (int i = 0; i < handed; i++) left_over[me][i] = malloc((size_t)i * 40 + 1);
    return NULL;
}

static void round_of_threads(void) {
    pthread_t thread[threads];
    for (long i = 0; i < threads; i++) thread[i] = spawn(body, (void*)i);
    for (int i = 0; i < threads; i++) finish(thread[i]);
}

int main(void) {
    pthread_barrier_init(&all, NULL, threads);
    mallopt(M_ARENA_MAX, 1);
    for (int i = 0; i < rounds; i++) round_of_threads();
    for (int i = 0; i < threads; i++)
        for (int j = 0; j < handed; j++) free(left_over[i][j]);
    size_t kept = mallinfo2().uordblks;
    fprintf(stderr, "in use: %zu bytes\n", kept);
    printf("in use is little: %s\n", kept < 1000000 ? "yes" : "no");
    return 0;
}
