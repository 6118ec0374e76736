// What a flow takes with it while it waits, and what it shares: each line a client sends is the
// name of one thing to try. The answer is "ok", or what was wrong.
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/msg.h>
#include <sys/wait.h>
#include <time.h>

#include "server.h"

static pthread_mutex_t recursive;
static int inside;
static int queue;
static int locked_file;
static char lock_path[] = "/tmp/accept-corners-XXXXXX";
static volatile sig_atomic_t signals;
static __thread int served;  // as good as global: there is one thread

static void on_signal(int number) {
    (void)number;
    ++signals;
}

static void nap(void) { usleep(100000); }

static const char* errno_is_kept(int connection) {
    errno = 1000 + connection;
    nap();
    if (errno != 1000 + connection) return "errno is another connection's";
    return close(-1) == -1 && errno == EBADF ? "ok" : "errno is not set";
}

static const char* locks_exclude(void) {
    pthread_mutex_lock(&recursive);
    pthread_mutex_lock(&recursive);
    int alone = ++inside == 1;
    nap();
    alone = alone && inside-- == 1;
    pthread_mutex_unlock(&recursive);
    pthread_mutex_unlock(&recursive);
    return alone ? "ok" : "two connections hold one mutex";
}

static const char* files_lock(void) {
    int fd = open(lock_path, 0);
    if (flock(fd, LOCK_EX) != 0) return "flock failed";
    int alone = ++locked_file == 1;
    nap();
    alone = alone && locked_file-- == 1;
    close(fd);
    return alone ? "ok" : "two connections hold one lock";
}

static const char* message_arrives(void) {
    struct {
        long type;
        char text[64];
    } message = {0, "nothing"};
    if (msgrcv(queue, &message, sizeof message.text, 1, 0) != 6) return "msgrcv failed";
    return strcmp(message.text, "words") == 0 ? "ok" : "the message is not there";
}

static const char* message_is_sent(void) {
    struct {
        long type;
        char text[6];
    } message = {1, "words"};
    return msgsnd(queue, &message, sizeof message.text, 0) == 0 ? "ok" : "msgsnd failed";
}

static const char* goes_deep(int depth, char mark) {
    char frame[4096];
    memset(frame, mark, sizeof frame);
    const char* answer = "ok";
    if (depth > 0) {
        answer = goes_deep(depth - 1, mark);
    } else {
        nap();
    }
    for (size_t i = 0; i < sizeof frame; ++i) {
        if (frame[i] != mark) return "the stack is another connection's";
    }
    return answer;
}

static const char* jumps_back(int connection) {
    sigjmp_buf back;
    volatile int before = connection;
    if (sigsetjmp(back, 1) == 0) {
        nap();
        siglongjmp(back, 1);
    }
    nap();
    return before == connection ? "ok" : "longjmp came back elsewhere";
}

static const char* child_runs(int number) {
    pid_t child = fork();
    if (child == 0) {
        nap();
        _exit(number);
    }
    int status = 0;
    if (waitpid(child, &status, 0) != child) return "waitpid failed";
    return WIFEXITED(status) && WEXITSTATUS(status) == number ? "ok" : "the wrong status";
}

static const char* is_interrupted(void) {
    struct timespec long_time = {5, 0};
    int before = signals;
    if (nanosleep(&long_time, NULL) != -1 || errno != EINTR) return "not interrupted";
    return signals == before + 1 ? "ok" : "the handler did not run once";
}

static void clean_up(void* connection) {
    if (write(*(int*)connection, "ok", 2) != 2) perror("write");
    close(*(int*)connection);
}

static void leave(int connection) {
    pthread_cleanup_push(clean_up, &connection);
    nap();
    pthread_exit(NULL);
    pthread_cleanup_pop(0);
}

static void be_cancelled(int connection) {
    pthread_cleanup_push(clean_up, &connection);
    nap();
    pthread_cancel(pthread_self());
    nap();
    pthread_cleanup_pop(0);
}

static const char* attempt(const char* what, int connection, int number) {
    if (strcmp(what, "errno") == 0) return errno_is_kept(connection);
    if (strcmp(what, "mutex") == 0) return locks_exclude();
    if (strcmp(what, "flock") == 0) return files_lock();
    if (strcmp(what, "receive") == 0) return message_arrives();
    if (strcmp(what, "send") == 0) return message_is_sent();
    if (strcmp(what, "deep") == 0)
        return goes_deep(connection % 2 == 0 ? 100 : 30, (char)connection);
    if (strcmp(what, "jump") == 0) return jumps_back(connection);
    if (strcmp(what, "fork") == 0) return child_runs(number % 100);
    if (strcmp(what, "signal") == 0) return is_interrupted();
    if (strcmp(what, "leave") == 0) leave(connection);
    if (strcmp(what, "cancel") == 0) be_cancelled(connection);
    if (strcmp(what, "crash") == 0) *(volatile int*)NULL = 1;
    if (strcmp(what, "served") == 0) {
        static char text[16];
        snprintf(text, sizeof text, "%d", served);
        return text;
    }
    return "what?";
}

int main(void) {
    pthread_mutexattr_t kind;
    pthread_mutexattr_init(&kind);
    pthread_mutexattr_settype(&kind, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&recursive, &kind);
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGUSR1, &action, NULL);
    close(mkstemp(lock_path));
    queue = msgget(IPC_PRIVATE, 0600);
    int listener = listen_somewhere();
    for (int number = 1;; ++number) {
        int peer;
        int connection = accept_one(listener, &peer);
        char what[64] = "";
        ssize_t n = read(connection, what, sizeof what - 1);
        if (n > 0) what[n - 1] = '\0';
        if (strcmp(what, "quit") == 0) {
            unlink(lock_path);
            msgctl(queue, IPC_RMID, NULL);
        }
        quit_if_asked(what, number);
        const char* answer = attempt(what, connection, number);
        if (write(connection, answer, strlen(answer)) < 0) perror("write");
        close(connection);
        ++served;
    }
}
