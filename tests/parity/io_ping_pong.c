/* Many threads hand a number round: pairs over socketpairs and pipes, and a ring of pipes. Each
 * byte that arrives proves a switch.
 *
 * PARITY: switches=20000 threads=40 */
#include "parity.h"

enum { PAIRS = 10, ROUNDS = 1000, RING = 20, LAPS = 200 };

struct player {
    int in, out, first, rounds;
};

static void* play(void* argument) {
    struct player* player = (struct player*)argument;
    int number = 0;
    for (int round = 0; round < player->rounds; round++) {
        if (player->first) {
            number++;
            SAME(write(player->out, &number, sizeof number), sizeof number);
        }
        SAME(read(player->in, &number, sizeof number), sizeof number);
        if (!player->first) {
            number++;
            SAME(write(player->out, &number, sizeof number), sizeof number);
        }
    }
    return (void*)(intptr_t)number;
}

int main(void) {
    struct player players[2 * PAIRS];
    pthread_t threads[2 * PAIRS];
    for (int i = 0; i < PAIRS; i++) {
        int a[2], b[2];
        if (i % 2) {
            unix_pair(a);
            players[2 * i] = (struct player){a[0], a[0], 1, ROUNDS};
            players[2 * i + 1] = (struct player){a[1], a[1], 0, ROUNDS};
        } else {
            SAME(pipe(a), 0);
            SAME(pipe(b), 0);
            players[2 * i] = (struct player){a[0], b[1], 1, ROUNDS};
            players[2 * i + 1] = (struct player){b[0], a[1], 0, ROUNDS};
        }
    }
    for (int i = 0; i < 2 * PAIRS; i++) threads[i] = start(play, &players[i]);
    for (int i = 0; i < 2 * PAIRS; i++) SAME((intptr_t)join(threads[i]), 2 * ROUNDS);
    say("%d pairs, %d rounds each", PAIRS, ROUNDS);

    int pipes[RING][2];
    for (int i = 0; i < RING; i++) SAME(pipe(pipes[i]), 0);
    for (int i = 0; i < RING; i++)
        players[i] = (struct player){pipes[i][0], pipes[(i + 1) % RING][1], i == 0, LAPS};
    for (int i = 0; i < RING; i++) threads[i] = start(play, &players[i]);
    SAME((intptr_t)join(threads[0]), RING * LAPS);
    for (int i = 1; i < RING; i++) join(threads[i]);
    say("a ring of %d, %d laps", RING, LAPS);
    return 0;
}
