/* splice(2) from a socket that has nothing yet, into a pipe: natively it holds the pipe while it
 * waits, and a writer of that pipe waits with it; others run. Data, the end, a time-out, a signal,
 * a cancellation and O_NONBLOCK end the wait; what is wrong is said at once.
 *
 * PARITY: switches=50 threads=10 timeout=30
 */
#include "parity.h"

static int sockets[2], pipe_ends[2];
static long waiting;

static void nothing(int number) { (void)number; }

static void* move(void* unused) {
    (void)unused;
    set_to(&waiting, 1);
    errno = 0;
    long moved = splice(sockets[0], NULL, pipe_ends[1], NULL, 100, 0);
    return (void*)(moved < 0 ? -errno : moved);
}

static void* write_beside(void* unused) {
    (void)unused;
    SAME(write(pipe_ends[1], "w", 1), 1);
    return NULL;
}

static pthread_t start_moving(void) {
    set_to(&waiting, 0);
    pthread_t thread = start(move, NULL);
    wait_for(&waiting, 1);
    wait_ticks(20);
    return thread;
}

int main(void) {
    struct sigaction action = {.sa_handler = nothing};
    SAME(sigaction(SIGUSR1, &action, NULL), 0);
    start_ticking();
    for (int kind = 0; kind < 2; kind++) {
        char text[10];
        struct timeval time = timeval_ms(30), none = {0, 0};
        kind ? tcp_pair(sockets) : unix_pair(sockets);
        SAME(pipe(pipe_ends), 0);
        FAILS(splice(sockets[0], NULL, sockets[1], NULL, 10, 0), EINVAL);
        FAILS(splice(sockets[0], NULL, hidden(-1), NULL, 10, 0), EBADF);
        FAILS(splice(sockets[0], NULL, pipe_ends[0], NULL, 10, 0), EBADF);
        SAME(splice(sockets[0], NULL, pipe_ends[1], NULL, 0, 0), 0);

        pthread_t mover = start_moving(), writer = start(write_beside, NULL);
        wait_ticks(20);
        SAME(write(sockets[1], "data", 4), 4);
        SAME((long)join(mover), 4);
        join(writer);
        SAME(read_all(pipe_ends[0], text, 5), 5);
        say("data moves, and the writer writes");

        mover = start_moving();
        SAME(pthread_kill(mover, SIGUSR1), 0);
        SAME((long)join(mover), -EINTR);
        mover = start_moving();
        SAME(pthread_cancel(mover), 0);
        CHECK(join(mover) == PTHREAD_CANCELED);
        SAME(setsockopt(sockets[0], SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time), 0);
        SAME((long)join(start(move, NULL)), -EAGAIN);
        SAME(setsockopt(sockets[0], SOL_SOCKET, SO_RCVTIMEO, &none, sizeof none), 0);
        set_nonblocking(sockets[0], 1);
        FAILS(splice(sockets[0], NULL, pipe_ends[1], NULL, 100, 0), EAGAIN);
        set_nonblocking(sockets[0], 0);
        say("ended by others");

        mover = start_moving();
        SAME(close(sockets[1]), 0);
        SAME((long)join(mover), 0);
        say("the end");
        SAME(close(sockets[0]), 0);
        SAME(close(pipe_ends[0]), 0);
        SAME(close(pipe_ends[1]), 0);
    }
    stop_ticking();
    return 0;
}
