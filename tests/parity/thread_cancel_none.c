/* What is no cancellation point is not cut short by a cancellation, whether it waits or not:
 * syscall(2), whatever it calls, and sendfile(2). And what is one without ever waiting for another
 * thread: getrandom(2), fallocate(2), copy_file_range(2).
 *
 * PARITY: switches=10 threads=7 */
#include "thread.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <sys/random.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>

static int pipe_fds[2], file;
static int word;
static sem_t ready;

static void by_number_read(void) {
    char c;
    CHECK(syscall(SYS_read, pipe_fds[0], &c, 1) == 1);
}
static void by_number_sleep(void) {
    struct timespec time = {0, 100000000};
    CHECK(syscall(SYS_nanosleep, &time, NULL) == 0);
}
static void by_number_futex(void) {
    CHECK(syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0) == 0);
}
static void in_sendfile(void) { CHECK(sendfile(pipe_fds[1], file, NULL, 1) == 1); }
static void in_getrandom(void) {
    char c;
    getrandom(&c, 1, 0);
}
static void in_fallocate(void) { (void)!fallocate(-1, 0, 0, 1); }
static void in_copy(void) { (void)!copy_file_range(-1, NULL, -1, NULL, 1, 0); }

static const struct {
    const char* name;
    void (*call)(void);
} calls[] = {{"read by number", by_number_read},   {"nanosleep by number", by_number_sleep},
             {"futex by number", by_number_futex}, {"sendfile", in_sendfile},
             {"getrandom", in_getrandom},          {"fallocate", in_fallocate},
             {"copy_file_range", in_copy}};

static volatile int came_back;

static void* waits(void* argument) {
    sem_post(&ready);
    calls[(intptr_t)argument].call();
    came_back = 1;
    pthread_testcancel();
    return NULL;
}

static void* is_cancelled_already(void* argument) {
    pthread_cancel(pthread_self());
    calls[(intptr_t)argument].call();
    came_back = 1;
    return NULL;
}

static void show(const char* what, const char* how, void* result) {
    printf("%s, %s: %s, %s\n", what, how, came_back ? "came back" : "cut short",
           result == PTHREAD_CANCELED ? "cancelled" : "not cancelled");
    came_back = 0;
}

int main(void) {
    pthread_t t;
    void* result;
    file = open("/proc/self/exe", O_RDONLY);
    CHECK(pipe(pipe_fds) == 0 && file >= 0);
    sem_init(&ready, 0, 0);
    for (intptr_t i = 0; i < 3; i++) { /* those that wait */
        CHECK(pthread_create(&t, NULL, waits, (void*)i) == 0);
        sem_wait(&ready);
        usleep(30000);
        CHECK(pthread_cancel(t) == 0);
        usleep(30000);
        if (i == 0) CHECK(write(pipe_fds[1], "x", 1) == 1);
        if (i == 2) {
            word = 1;
            syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
        }
        CHECK(pthread_join(t, &result) == 0);
        show(calls[i].name, "while it waits", result);
    }
    for (intptr_t i = 3; i < (intptr_t)(sizeof calls / sizeof *calls); i++) {
        CHECK(pthread_create(&t, NULL, is_cancelled_already, (void*)i) == 0);
        CHECK(pthread_join(t, &result) == 0);
        show(calls[i].name, "pending", result);
    }
    return 0;
}
