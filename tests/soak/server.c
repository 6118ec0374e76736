/* A plain server with a thread for each connection, which scripts/soak torments. It listens on a
 * free port of the loopback and prints it.
 *
 *     server DESCRIPTORS IDLE_SECONDS
 *
 * Its limit of descriptors is set low, so accept and the handlers' own dup, pipe and open meet
 * EMFILE. Whatever a client sends comes back, each byte turned by 0x5a; when the client has sent
 * all (a half-close) a trailer of 16 bytes follows, the count and a checksum of what was received.
 * By the first byte, a handler works in one of several ways:
 *
 *     'r'  read and write, in pieces of random size        'p'  poll before each of them
 *     's'  two FILE streams on the socket and a duplicate  'v'  readv and writev
 *     'c'  through a pipe and a second thread
 *     '?'  tells how many connections are being served, and nothing more
 *
 * An idle connection is given up after IDLE_SECONDS. SIGTERM ends the server. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

struct connection {
    int fd, out;
    unsigned random;
    uint64_t count;
    uint32_t sum;
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static long serving, served, refused;
static int idle_seconds = 20;

static size_t piece(struct connection* c, size_t most) {
    c->random = c->random * 1103515245u + 12345u;
    return 1 + (c->random >> 8) % most;
}

/* The checksum is Adler-32, which the clients have at hand. */
static void turn(struct connection* c, unsigned char* data, size_t size) {
    uint32_t low = c->sum & 0xffff, high = c->sum >> 16;
    for (size_t i = 0; i < size; i++) {
        low = (low + data[i]) % 65521;
        high = (high + low) % 65521;
        data[i] ^= 0x5a;
    }
    c->sum = high << 16 | low;
    c->count += size;
}

static int send_all(int fd, const void* data, size_t size) {
    for (size_t done = 0; done < size;) {
        ssize_t n = write(fd, (const char*)data + done, size - done);
        if (n <= 0) return 0;
        done += (size_t)n;
    }
    return 1;
}

static int trailer(struct connection* c) {
    unsigned char text[16] = {0};
    memcpy(text, &c->count, 8);
    memcpy(text + 8, &c->sum, 4);
    return send_all(c->out, text, sizeof text);
}

static void by_read(struct connection* c) {
    unsigned char data[8192];
    ssize_t n;
    while ((n = read(c->fd, data, piece(c, sizeof data))) > 0) {
        turn(c, data, (size_t)n);
        if (!send_all(c->out, data, (size_t)n)) return;
    }
    if (n == 0) trailer(c);
}

static int ready(int fd, short events) {
    struct pollfd p = {fd, events, 0};
    return poll(&p, 1, idle_seconds * 1000) == 1;
}

static void by_poll(struct connection* c) {
    unsigned char data[4096];
    while (ready(c->fd, POLLIN)) {
        ssize_t n = recv(c->fd, data, piece(c, sizeof data), MSG_DONTWAIT);
        if (n == 0) trailer(c);
        if (n <= 0) return;
        turn(c, data, (size_t)n);
        for (ssize_t done = 0; done < n;) {
            if (!ready(c->out, POLLOUT)) return;
            ssize_t w = send(c->out, data + done, (size_t)(n - done), MSG_DONTWAIT | MSG_NOSIGNAL);
            if (w <= 0) return;
            done += w;
        }
    }
}

static void by_vectors(struct connection* c) {
    unsigned char data[6000];
    for (;;) {
        size_t first = piece(c, 2000), second = piece(c, 4000);
        struct iovec v[2] = {{data, first}, {data + first, second}};
        ssize_t n = readv(c->fd, v, 2);
        if (n == 0) trailer(c);
        if (n <= 0) return;
        turn(c, data, (size_t)n);
        for (size_t done = 0; done < (size_t)n;) {
            size_t half = ((size_t)n - done) / 2;
            struct iovec w[2] = {{data + done, half},
                                 {data + done + half, (size_t)n - done - half}};
            ssize_t sent = writev(c->out, w, 2);
            if (sent <= 0) return;
            done += (size_t)sent;
        }
    }
}

static void by_stdio(struct connection* c) {
    unsigned char data[3000];
    int copy = dup(c->fd);
    FILE* in = copy < 0 ? NULL : fdopen(copy, "r");
    if (in == NULL) {
        if (copy >= 0) close(copy);
        return by_read(c);
    }
    size_t n;
    while ((n = fread(data, 1, piece(c, sizeof data), in)) > 0) {
        turn(c, data, n);
        if (!send_all(c->out, data, n)) break;
    }
    if (n == 0 && feof(in)) trailer(c);
    fclose(in);
}

/* Reads the socket into a pipe, from which the handler takes. */
struct pump {
    int from, to;
};
static void* pump(void* argument) {
    struct pump* p = argument;
    char data[5000];
    ssize_t n;
    while ((n = read(p->from, data, sizeof data)) > 0)
        if (!send_all(p->to, data, (size_t)n)) break;
    close(p->to);
    return (void*)(intptr_t)n;
}

static void by_pipe(struct connection* c) {
    int ends[2];
    pthread_t thread;
    if (pipe(ends) != 0) return by_read(c);
    struct pump p = {c->fd, ends[1]};
    if (pthread_create(&thread, NULL, pump, &p) != 0) {
        close(ends[0]), close(ends[1]);
        return by_read(c);
    }
    unsigned char data[4096];
    ssize_t n;
    while ((n = read(ends[0], data, piece(c, sizeof data))) > 0) {
        turn(c, data, (size_t)n);
        if (!send_all(c->out, data, (size_t)n)) break;
    }
    if (n > 0) shutdown(c->fd, SHUT_RDWR); /* the pump must not wait for more */
    while (n > 0 && (n = read(ends[0], data, sizeof data)) > 0) {
    }
    void* last = NULL;
    pthread_join(thread, &last);
    close(ends[0]);
    if (n == 0 && last == NULL) trailer(c);
}

static void tell(struct connection* c) {
    char text[100];
    pthread_mutex_lock(&mutex);
    int size = snprintf(text, sizeof text, "%ld %ld %ld\n", serving, served, refused);
    pthread_mutex_unlock(&mutex);
    send_all(c->out, text, (size_t)size);
}

static void* serve(void* argument) {
    struct connection* c = argument;
    struct timeval idle = {idle_seconds, 0};
    setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &idle, sizeof idle);
    setsockopt(c->fd, SOL_SOCKET, SO_SNDTIMEO, &idle, sizeof idle);
    unsigned char how = 0;
    int asks = 0;
    if (read(c->fd, &how, 1) == 1) {
        asks = how == '?';
        if (how == 'r') by_read(c);
        if (how == 'p') by_poll(c);
        if (how == 's') by_stdio(c);
        if (how == 'v') by_vectors(c);
        if (how == 'c') by_pipe(c);
    }
    pthread_mutex_lock(&mutex);
    serving--;
    served++;
    pthread_mutex_unlock(&mutex);
    if (asks) tell(c);
    close(c->fd);
    free(c);
    return NULL;
}

static volatile sig_atomic_t ending;
static void on_term(int number) {
    (void)number;
    ending = 1;
}

/* More than there are visitors: a connection that the queue cannot take is reset after a minute of
 * silence, by the kernel. */
enum { waiting = 1024 };

int main(int count, char** arguments) {
    rlim_t descriptors = count > 1 ? (rlim_t)atol(arguments[1]) : 200;
    if (count > 2) idle_seconds = atoi(arguments[2]);
    struct rlimit limit = {descriptors, descriptors};
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof address;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    signal(SIGPIPE, SIG_IGN);
    struct sigaction term = {.sa_handler = on_term};
    sigaction(SIGTERM, &term, NULL);
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0 || listener < 0 ||
        bind(listener, (struct sockaddr*)&address, size) != 0 || listen(listener, waiting) != 0 ||
        getsockname(listener, (struct sockaddr*)&address, &size) != 0) {
        perror("server");
        return 1;
    }
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attr, 131072);
    for (unsigned number = 1; !ending; number++) {
        int fd = accept(listener, NULL, NULL);
        if (ending) break;
        if (fd < 0) {
            int full = errno == EMFILE || errno == ENFILE;
            if (!full && errno != ECONNABORTED && errno != EINTR) return 2;
            pthread_mutex_lock(&mutex);
            refused++;
            pthread_mutex_unlock(&mutex);
            if (full) usleep(2000);
            continue;
        }
        struct connection* c = calloc(1, sizeof *c);
        pthread_t thread;
        if (c == NULL) return 3;
        c->fd = c->out = fd;
        c->random = number;
        c->sum = 1;
        pthread_mutex_lock(&mutex);
        serving++;
        pthread_mutex_unlock(&mutex);
        if (pthread_create(&thread, &attr, serve, c) != 0) {
            close(fd);
            free(c);
            pthread_mutex_lock(&mutex);
            serving--;
            pthread_mutex_unlock(&mutex);
        }
    }
    return 0;
}
