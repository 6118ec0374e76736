/* Threads on stacks of 16 KiB, the smallest there are, which have used all but 5 KiB when they call
 * into libc: printf of a double, usleep, sem_wait, a read that blocks, and getaddrinfo. Natively
 * none of these needs more than about 3 KiB (4 for printf of a large double); what runs below
 * them must not need much more either.
 *
 * PARITY: switches=60 threads=20
 */
#include "thread.h"

#include <alloca.h>
#include <arpa/inet.h>
#include <netdb.h>
#include <sys/socket.h>

enum { threads = 20, left_over = 5 << 10 };
static sem_t gate;
static int pipe_fds[2];
static char lines[threads][120];

static char* stack_low(void) {
    pthread_attr_t attr;
    void* low = NULL;
    size_t size = 0;
    CHECK(pthread_getattr_np(pthread_self(), &attr) == 0);
    CHECK(pthread_attr_getstack(&attr, &low, &size) == 0);
    pthread_attr_destroy(&attr);
    return low;
}

static const char* __attribute__((noinline)) resolve(void) {
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *result = NULL;
    if (getaddrinfo("127.0.0.1", "80", &hints, &result) != 0) return "failed";
    struct sockaddr_in* address = (struct sockaddr_in*)result->ai_addr;
    int right =
        ntohl(address->sin_addr.s_addr) == INADDR_LOOPBACK && ntohs(address->sin_port) == 80;
    freeaddrinfo(result);
    return right ? "127.0.0.1" : "wrong";
}

static void __attribute__((noinline)) down_here(long who) {
    char byte;
    usleep(1000);
    CHECK(sem_wait(&gate) == 0);
    CHECK(read(pipe_fds[0], &byte, 1) == 1);
    snprintf(lines[who], sizeof lines[who], "thread %ld: %.10g %s", who, 1e100 / (double)(who + 1),
             resolve());
}

static void* body(void* arg) {
    char here, *low = stack_low();
    CHECK(&here - low > left_over);
    size_t used = (size_t)(&here - low) - left_over;
    volatile char* block = alloca(used);
    for (size_t i = 0; i < used; i++) block[i] = (char)i;
    down_here((long)arg);
    for (size_t i = 0; i < used; i++) CHECK(block[i] == (char)i);
    return NULL;
}

int main(void) {
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    SHOW_LONG(sysconf(_SC_THREAD_STACK_MIN) >= 16384);
    SHOW(pthread_attr_setstacksize(&attr, 16384));
    sem_init(&gate, 0, 0);
    CHECK(pipe(pipe_fds) == 0);
    pthread_t thread[threads];
    for (long i = 0; i < threads; i++)
        CHECK(pthread_create(&thread[i], &attr, body, (void*)i) == 0);
    nap(20);
    for (int i = 0; i < threads; i++) CHECK(sem_post(&gate) == 0);
    nap(20);
    for (int i = 0; i < threads; i++) CHECK(write(pipe_fds[1], "x", 1) == 1);
    for (long i = 0; i < threads; i++) {
        finish(thread[i]);
        puts(lines[i]);
    }
    return 0;
}
