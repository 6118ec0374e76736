/* A signal that meets a kernel thread of libc's, which runs the function of a finished aio request,
 * is handled: one from raise(3), and one from another process.
 *
 * PARITY: kernel_threads=9 */
#include "parity.h"

#include <aio.h>

static long raised, sent, finished;

static void handle(int signal) { add_to(signal == SIGUSR1 ? &raised : &sent, 1); }

static void notify(union sigval unused) {
    (void)unused;
    sigset_t set;
    sigemptyset(&set);
    pthread_sigmask(SIG_SETMASK, &set, NULL);
    SAME(raise(SIGUSR1), 0);
    wait_for(&raised, 1);
    pid_t child = fork();
    if (child == 0) {
        kill(getppid(), SIGUSR2);
        _exit(0);
    }
    SAME(waitpid(child, NULL, 0), child);
    wait_for(&sent, 1);
    add_to(&finished, 1);
}

int main(void) {
    struct sigaction action = {.sa_handler = handle, .sa_flags = SA_RESTART};
    SAME(sigaction(SIGUSR1, &action, NULL), 0);
    SAME(sigaction(SIGUSR2, &action, NULL), 0);
    start_ticking();
    static char byte;
    static struct aiocb request;
    int ends[2];
    SAME(pipe(ends), 0);
    request.aio_fildes = ends[0];
    request.aio_buf = &byte;
    request.aio_nbytes = 1;
    request.aio_sigevent.sigev_notify = SIGEV_THREAD;
    request.aio_sigevent.sigev_notify_function = notify;
    SAME(aio_read(&request), 0);
    SAME(write(ends[1], "x", 1), 1);
    wait_for(&finished, 1);
    say("raised %ld, sent %ld", value_of(&raised), value_of(&sent));
    stop_ticking();
    return 0;
}
