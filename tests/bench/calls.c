// What a call costs that need not wait: the tax on calls which libgreen looks at. An ordinary
// program, with one thread (libgreen is dormant then) or with a second one that sleeps:
//
//     calls [--threads] [SECONDS]           a line "NAME <ns>" for each call
//     calls [--threads] --count TURNS NAME  TURNS calls between two marks for steps.c
//     calls --list
//
// The calls take turns in batches of some 100 us, and the quickest batch counts: what else happens
// on the machine makes a batch slower, never quicker.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/select.h>
#include <sys/uio.h>

#include "common.h"

static int null, file, pair[2], tube[2], event, epoll;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static sem_t semaphore, sleeper;

static char page[4096];

static void need(bool good) {
    if (!good) die("calls");
}

static void read_null(void) { need(read(null, page, 1) == 0); }
static void write_null(void) { need(write(null, page, 1) == 1); }
static void read_file(void) { need(pread(file, page, sizeof page, 0) == sizeof page); }
static void write_file(void) { need(pwrite(file, page, sizeof page, 0) == sizeof page); }

static void use_pair(void) {
    need(send(pair[0], page, 1, 0) == 1);
    need(recv(pair[1], page, 1, 0) == 1);
}

static void use_pipe(void) {
    need(write(tube[1], page, 1) == 1);
    need(read(tube[0], page, 1) == 1);
}

static void use_event(void) {
    uint64_t one = 1;
    need(write(event, &one, sizeof one) == sizeof one);
    need(read(event, &one, sizeof one) == sizeof one);
}

static void write_vector(void) {
    struct iovec vector = {.iov_base = page, .iov_len = 1};
    need(writev(null, &vector, 1) == 1);
}

static void poll_once(void) {
    struct pollfd one = {.fd = pair[0], .events = POLLOUT};
    need(poll(&one, 1, -1) == 1);
}

static void select_once(void) {
    fd_set set;
    FD_ZERO(&set);
    FD_SET(pair[0], &set);
    need(select(pair[0] + 1, NULL, &set, NULL, NULL) == 1);
}

static void epoll_once(void) {
    struct epoll_event found;
    need(epoll_wait(epoll, &found, 1, -1) == 1);
}

static void open_close(void) {
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    need(fd >= 0 && close(fd) == 0);
}

static void dup_close(void) {
    int fd = dup(null);
    need(fd >= 0 && close(fd) == 0);
}

static void get_flags(void) { need(fcntl(null, F_GETFL) >= 0); }

static void block_signal(void) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    need(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
}

static void lock_unlock(void) {
    pthread_mutex_lock(&mutex);
    pthread_mutex_unlock(&mutex);
}

static void read_lock(void) {
    pthread_rwlock_rdlock(&rwlock);
    pthread_rwlock_unlock(&rwlock);
}

static void post_wait(void) {
    sem_post(&semaphore);
    sem_wait(&semaphore);
}

static void signal_nobody(void) { pthread_cond_signal(&condition); }
static void yield(void) { sched_yield(); }

static const struct {
    const char *name, *what;
    void (*make)(void);
} calls[] = {
    {"read-null", "read of /dev/null", read_null},
    {"write-null", "write to /dev/null", write_null},
    {"read-file", "pread of a file, 4 KiB", read_file},
    {"write-file", "pwrite to a file, 4 KiB", write_file},
    {"writev", "writev to /dev/null", write_vector},
    {"socket", "send and recv, ready", use_pair},
    {"pipe", "write and read, ready pipe", use_pipe},
    {"eventfd", "write and read, ready eventfd", use_event},
    {"poll", "poll, ready", poll_once},
    {"select", "select, ready", select_once},
    {"epoll", "epoll_wait, ready", epoll_once},
    {"open", "open and close", open_close},
    {"dup", "dup and close", dup_close},
    {"fcntl", "fcntl F_GETFL", get_flags},
    {"sigmask", "pthread_sigmask", block_signal},
    {"mutex", "free mutex, lock and unlock", lock_unlock},
    {"rwlock", "free rwlock, read lock and unlock", read_lock},
    {"sem", "sem_post and sem_wait", post_wait},
    {"cond", "pthread_cond_signal, nobody waits", signal_nobody},
    {"yield", "sched_yield, nobody else", yield},
};
enum { kCalls = sizeof calls / sizeof *calls };

static void prepare(void) {
    char name[] = "/tmp/green-calls-XXXXXX";
    null = open("/dev/null", O_RDWR | O_CLOEXEC);
    file = mkostemp(name, O_CLOEXEC);
    need(null >= 0 && file >= 0 && unlink(name) == 0);
    write_file();
    event = eventfd(0, EFD_CLOEXEC);
    epoll = epoll_create1(EPOLL_CLOEXEC);
    need(event >= 0 && epoll >= 0 && pipe(tube) == 0);
    need(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    struct epoll_event ready = {.events = EPOLLOUT};
    need(epoll_ctl(epoll, EPOLL_CTL_ADD, pair[0], &ready) == 0);
    sem_init(&semaphore, 0, 0);
}

static void* sleep_there(void* unused) {
    while (sem_wait(&sleeper) < 0) continue;
    return unused;
}

static uint64_t batch(int call, uint64_t turns) {
    uint64_t start = now_ns();
    for (uint64_t i = 0; i < turns; i++) calls[call].make();
    return now_ns() - start;
}

static void measure(double seconds) {
    enum { kBatch = 100000 };
    uint64_t turns[kCalls], end;
    double best[kCalls];
    for (int i = 0; i < kCalls; i++) {
        turns[i] = 1;
        while (batch(i, turns[i]) < kBatch) turns[i] *= 2;
        best[i] = 1e9;
    }
    for (end = now_ns() + (uint64_t)(seconds * 1e9); now_ns() < end;)
        for (int i = 0; i < kCalls; i++) {
            double each = (double)batch(i, turns[i]) / (double)turns[i];
            if (each < best[i]) best[i] = each;
        }
    for (int i = 0; i < kCalls; i++) printf("%s %.2f\n", calls[i].name, best[i]);
}

static int count(const char* name, uint64_t turns) {
    for (int i = 0; i < kCalls; i++) {
        if (strcmp(calls[i].name, name) != 0) continue;
        calls[i].make();  // the first one may have to look its function up
        mark();
        for (uint64_t j = 0; j < turns; j++) calls[i].make();
        mark();
        return 0;
    }
    return 2;
}

int main(int argc, char** argv) {
    static const struct option options[] = {{"threads", no_argument, NULL, 't'},
                                            {"count", required_argument, NULL, 'c'},
                                            {"list", no_argument, NULL, 'l'},
                                            {NULL, 0, NULL, 0}};
    bool threads = false;
    uint64_t turns = 0;
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (option) {
            case 't':
                threads = true;
                break;
            case 'c':
                turns = strtoull(optarg, NULL, 10);
                break;
            case 'l':
                for (int i = 0; i < kCalls; i++) printf("%-12s%s\n", calls[i].name, calls[i].what);
                return 0;
            default:
                return 2;
        }
    }
    prepare();
    pthread_t thread;
    sem_init(&sleeper, 0, 0);
    if (threads && (errno = pthread_create(&thread, NULL, sleep_there, NULL)) != 0)
        die("pthread_create");
    sched_yield();
    const char* word = optind < argc ? argv[optind] : "1";
    int status = 0;
    if (turns > 0) {
        status = count(word, turns);
    } else {
        measure(atof(word));
    }
    sem_post(&sleeper);
    if (threads) pthread_join(thread, NULL);
    return status;
}
