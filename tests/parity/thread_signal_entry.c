/* A signal arrives while libc computes, and the program looks whether its handler has run before it
 * makes a call that waits: it has, or else the call ends by EINTR. A server's "while (!stopped)
 * accept()" would miss its end otherwise.
 *
 * PARITY: switches=2 threads=1
 */
#include "thread.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>

enum { size = 64 << 20 };
static volatile sig_atomic_t handled;
static char* memory;

static void handle(int number) {
    (void)number;
    handled = 1;
}

static void* wait_for_end(void* pipe) {
    char byte;
    CHECK(read(*(int*)pipe, &byte, 1) == 0);
    return NULL;
}

static int pipe_end, pair_end, listener, queue;
static pid_t child;
static sem_t semaphore;
static const char* fifo = "fifo";

static int by_accept(void) { return accept(listener, NULL, NULL); }

static int by_read(void) {
    char byte;
    return (int)read(pipe_end, &byte, 1);
}

static int by_recv(void) {
    char byte;
    return (int)recv(pair_end, &byte, 1, 0);
}

static int by_sleep(void) {
    struct timespec long_time = {1000, 0};
    return nanosleep(&long_time, NULL);
}

static int by_semaphore(void) { return sem_wait(&semaphore); }
static int by_waitpid(void) { return waitpid(child, NULL, 0); }

static int by_sigwaitinfo(void) {
    sigset_t other;
    sigemptyset(&other);
    sigaddset(&other, SIGUSR2);
    return sigwaitinfo(&other, NULL);
}

static int by_message(void) {
    struct {
        long type;
        char text[8];
    } message;
    return (int)msgrcv(queue, &message, sizeof message.text, 0, 0);
}

static int by_fifo(void) { return open(fifo, O_RDONLY); }

static void in_rounds(const char* what, int (*wait)(void)) {
    for (int i = 0; i < 4; i++) {
        struct itimerval soon = {{0, 0}, {0, 2000}};
        handled = 0;
        CHECK(setitimer(ITIMER_REAL, &soon, NULL) == 0);
        memset(memory, i, size);
        if (!handled) {
            int r = wait();
            CHECK(r == -1 && errno == EINTR);
        }
        CHECK(handled);
    }
    printf("%s: no signal was missed\n", what);
}

int main(void) {
    int end[2], empty[2], pair[2];
    struct sigaction action = {.sa_handler = handle};
    sigset_t alarms;
    pthread_t thread;
    memory = malloc(size);
    CHECK(memory != NULL && pipe(end) == 0 && pipe(empty) == 0);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    CHECK((listener = socket(AF_INET, SOCK_STREAM, 0)) >= 0 && listen(listener, 1) == 0);
    CHECK((queue = msgget(IPC_PRIVATE, 0600)) >= 0 && sem_init(&semaphore, 0, 0) == 0);
    CHECK(mkfifo(fifo, 0600) == 0 && (child = fork()) >= 0);
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;) pause();
    }
    pipe_end = empty[0], pair_end = pair[0];
    CHECK(sigaction(SIGALRM, &action, NULL) == 0);
    sigemptyset(&alarms);
    sigaddset(&alarms, SIGALRM);
    CHECK(pthread_sigmask(SIG_BLOCK, &alarms, NULL) == 0);
    CHECK(pthread_create(&thread, NULL, wait_for_end, &end[0]) == 0);
    CHECK(pthread_sigmask(SIG_UNBLOCK, &alarms, NULL) == 0);
    memset(memory, 1, size);
    in_rounds("accept", by_accept);
    in_rounds("read", by_read);
    in_rounds("recv", by_recv);
    in_rounds("nanosleep", by_sleep);
    in_rounds("sem_wait", by_semaphore);
    in_rounds("waitpid", by_waitpid);
    in_rounds("sigwaitinfo", by_sigwaitinfo);
    in_rounds("msgrcv", by_message);
    in_rounds("open", by_fifo);
    unlink(fifo);
    CHECK(msgctl(queue, IPC_RMID, NULL) == 0 && kill(child, SIGKILL) == 0);
    close(end[1]);
    CHECK(pthread_join(thread, NULL) == 0);
    return 0;
}
