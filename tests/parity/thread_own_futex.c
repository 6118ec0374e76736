/* A library's threads wait by futex instructions of their own, beside threads of the program that
 * were there before them and that wait in the ordinary way. The same calls elsewhere still work:
 * masks, a child, a command.
 *
 * PARITY: switches=100 threads=5 */
#include "parity.h"

#include <dlfcn.h>
#include <sys/wait.h>

enum { MEMBERS = 4, ROUNDS = 50 };

static void (*run)(void (*)(int));
static void (*lock)(void);
static void (*unlock)(void);
static int to_thread[2], from_thread[2], turns[MEMBERS], inside;

static void* answer(void* argument) {
    char c;
    while (read(to_thread[0], &c, 1) == 1) SAME(write(from_thread[1], &c, 1), 1);
    return argument;
}

/* What a member waits for under the lock comes from a thread that is none of the team. */
static void ask(int member) {
    char c = (char)('a' + member), reply;
    lock();
    SAME(++inside, 1);
    SAME(write(to_thread[1], &c, 1), 1);
    SAME(read(from_thread[0], &reply, 1), 1);
    SAME(reply, c);
    --inside;
    unlock();
    errno = ENOTTY;
    ++turns[member];
}

static void compute(int member) {
    sigset_t all, before;
    sigfillset(&all);
    SAME(pthread_sigmask(SIG_SETMASK, &all, &before), 0);
    double sum = 0;
    for (int i = 0; i < 10000; i++) sum += (double)i * member;
    CHECK(sum >= 0);
    if (member % 2 == 0) usleep(100);
    SAME(pthread_sigmask(SIG_SETMASK, &before, NULL), 0);
    ++turns[member];
}

int main(void) {
    char path[4096];
    path_beside(path, "own_futex.so");
    SAME(pipe(to_thread), 0);
    SAME(pipe(from_thread), 0);
    pthread_t thread = start(answer, NULL);
    void* library = dlopen(path, RTLD_NOW);
    if (library == NULL) parity_fail(__FILE__, __LINE__, "%s", dlerror());
    run = (void (*)(void (*)(int)))(intptr_t)dlsym(library, "own_futex_run");
    lock = (void (*)(void))(intptr_t)dlsym(library, "own_futex_lock");
    unlock = (void (*)(void))(intptr_t)dlsym(library, "own_futex_unlock");
    CHECK(run != NULL && lock != NULL && unlock != NULL);
    for (int i = 0; i < ROUNDS; i++) {
        errno = EXDEV;
        run(i % 2 == 0 ? ask : compute);
        SAME(errno, EXDEV);
    }
    for (int i = 0; i < MEMBERS; i++) say("member %d: %d", i, turns[i]);
    fflush(stdout);
    SAME(system("echo a command"), 0);
    pid_t child = fork();
    if (child == 0) _exit(7);
    int status;
    SAME(waitpid(child, &status, 0), child);
    say("child: %d", WEXITSTATUS(status));
    run(NULL);
    SAME(close(to_thread[1]), 0);
    join(thread);
    return 0;
}
