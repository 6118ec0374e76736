/* A program with a futex call of its own, made by instruction, cancels threads that wait in the
 * kernel: each ends there, with its cleanup handler run, and can be joined.
 *
 * PARITY: dormant=1
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int ends[2], sockets[2], set, listener, queue;
static pid_t child;
static int started;

// How the cancelling thread learns that the other one runs.
static void futex(int operation, int value) {
#if defined(__x86_64__)
    long r;
    register long timeout __asm__("r10") = 0;
    __asm__ volatile("movl $202, %%eax\n\tsyscall"
                     : "=a"(r)
                     : "D"(&started), "S"(operation), "d"(value), "r"(timeout)
                     : "rcx", "r11", "memory");
#else
    syscall(SYS_futex, &started, operation, value, NULL);
#endif
}
static void set_started(int value) {
    __atomic_store_n(&started, value, __ATOMIC_SEQ_CST);
    futex(FUTEX_WAKE_PRIVATE, 1);
}

static void wait_in_read(void) {
    char c;
    if (read(ends[0], &c, 1) < 0) perror("read");
}
static void wait_in_recv(void) {
    char c;
    recv(sockets[0], &c, 1, 0);
}
static void wait_in_poll(void) { poll(NULL, 0, -1); }
static void wait_in_select(void) { select(0, NULL, NULL, NULL, NULL); }
static void wait_in_epoll(void) {
    struct epoll_event event;
    epoll_wait(set, &event, 1, -1);
}
static void wait_in_sleep(void) { sleep(1000); }
static void wait_in_clock(void) {
    struct timespec long_time = {1000, 0};
    clock_nanosleep(CLOCK_MONOTONIC, 0, &long_time, NULL);
}
static void wait_in_open(void) { open("fifo", O_RDONLY); }
static void wait_in_accept(void) { accept(listener, NULL, NULL); }
static void wait_in_message(void) {
    struct {
        long type;
        char text[8];
    } message;
    msgrcv(queue, &message, sizeof message.text, 0, 0);
}
static void wait_in_child(void) { waitpid(child, NULL, 0); }
static void wait_in_pause(void) { pause(); }
static void wait_in_sigwait(void) {
    sigset_t one;
    sigemptyset(&one);
    sigaddset(&one, SIGUSR2);
    sigwaitinfo(&one, NULL);
}

static const struct {
    const char* name;
    void (*wait)(void);
} kinds[] = {
    {"read", wait_in_read},
    {"recv", wait_in_recv},
    {"poll", wait_in_poll},
    {"select", wait_in_select},
    {"epoll_wait", wait_in_epoll},
    {"sleep", wait_in_sleep},
    {"clock_nanosleep", wait_in_clock},
    {"open", wait_in_open},
    {"accept", wait_in_accept},
    {"msgrcv", wait_in_message},
    {"waitpid", wait_in_child},
    {"pause", wait_in_pause},
    {"sigwaitinfo", wait_in_sigwait},
};
enum { count = sizeof kinds / sizeof *kinds };

static void cleaned(void* name) { printf("%s: cleaned up\n", (const char*)name); }

static void* waiter(void* which) {
    int i = (int)(long)which;
    pthread_cleanup_push(cleaned, (void*)kinds[i].name);
    set_started(1);
    kinds[i].wait();
    pthread_cleanup_pop(0);
    return NULL;
}

static void* with_requests_off(void* unused) {
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    set_started(1);
    struct timespec short_time = {0, 300 * 1000000};
    printf("disabled: nanosleep %d\n", nanosleep(&short_time, NULL));
    return unused;
}

static void end(const char* name, pthread_t thread) {
    while (__atomic_load_n(&started, __ATOMIC_SEQ_CST) == 0) futex(FUTEX_WAIT_PRIVATE, 0);
    started = 0;
    struct timespec soon = {0, 100 * 1000000};
    nanosleep(&soon, NULL);
    pthread_cancel(thread);
    void* value;
    clock_gettime(CLOCK_REALTIME, &soon);
    soon.tv_sec += 5;
    if (pthread_timedjoin_np(thread, &value, &soon) != 0) {
        printf("%s: still there\n", name);
    } else {
        printf("%s: %s\n", name, value == PTHREAD_CANCELED ? "cancelled" : "ended");
    }
}

int main(void) {
    if (pipe(ends) != 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, sockets) != 0) return 1;
    set = epoll_create1(0);
    listener = socket(AF_INET, SOCK_STREAM, 0);
    queue = msgget(IPC_PRIVATE, 0600);
    if (listen(listener, 1) != 0 || queue < 0) return 1;
    unlink("fifo");
    if (mkfifo("fifo", 0600) != 0) return 1;
    child = fork();
    if (child == 0) {
        pause();
        _exit(0);
    }
    pthread_t thread;
    for (int i = 0; i < count; ++i) {
        pthread_create(&thread, NULL, waiter, (void*)(long)i);
        end(kinds[i].name, thread);
    }
    pthread_create(&thread, NULL, with_requests_off, NULL);
    end("disabled", thread);
    kill(child, SIGKILL);
    msgctl(queue, IPC_RMID, NULL);
    unlink("fifo");
    return 0;
}
