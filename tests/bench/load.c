// The load: N connections to a server on loopback, each of D active ones in a closed loop (one
// request, wait for the whole answer, compare every byte, the next request). One thread on epoll.
//
//     load --port P [--connections N] [--active D] [--size BYTES | --http PATH]
//          [--seconds S | --requests R] [--warmup S] [--server-pid PID] [--hold] [--once] [--spin]
//
// Without --http the server is taken for an echo server. The messages are cut out of one table of
// pseudo-random bytes, at a place which depends on the connection and the number of the request:
// an answer that belongs to another request is noticed, and no connection needs a buffer.
// With --http the first answer is read and checked, and all others must equal it.
//
// Connections are opened in lots, each of which is answered once before the next begins: no accept
// queue overflows, and everything is warm when the clock starts. They end with a reset
// (SO_LINGER 0), so that thousands of them leave no TIME_WAIT behind. Requests under way at the end
// of the measured time are waited for, so a lost answer is an error and not just a lower number.
//
// --once makes a new connection for every request, and closes it after the answer.
//
// --spin never sleeps, for a load with a CPU of its own: the server would have to wake it, which on
// a virtual machine costs as much as a request, and only while the load is the quicker of the two.
//
// --hold prints "ready" when all connections are open, starts at a line on stdin, and keeps them
// open after the result until stdin ends: time to look at the server, or to attach a tracer.
// --server-pid measures the server's CPU time (its CPU clock) over the same time as the requests.
//
// The result is lines of "key value" on stdout. Exit 1: a wrong byte, a lost connection, or nothing
// heard from the server for 10 s.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <math.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/resource.h>

#include "common.h"

enum { kEvents = 512, kLot = 256, kOffsets = 4096, kBuffer = 65536, kHttpMost = 1 << 20 };
static const int kPatienceMs = 10000;

typedef struct {
    int fd;
    bool busy;
    uint32_t sequence;
    size_t sent, received;
    uint64_t started, answered;  // a time; requests answered in the measured time
} Connection;

static int port, epoll;
static Connection* connections;
static size_t connection_count = 1, active_count;

static char *table, *http_request, *http_answer;
static size_t request_size = 64, answer_size;
static bool once, spin;

// What the loop is doing: go_on makes an answered connection ask again.
static bool go_on, counting;
static uint64_t requests_left;  // with --requests
static size_t busy_count;
static uint64_t answered;  // in the measured time

static void fail(const Connection* c, const char* what) {
    fprintf(stderr, "load: connection %td, request %u: %s\n", c - connections, c->sequence, what);
    exit(1);
}

// Latencies: 32 buckets for each power of two, so a percentile is right to 3%.

static uint64_t latencies[64 * 32];
static uint64_t longest;

static size_t bucket_of(uint64_t ns) {
    if (ns < 32) return (size_t)ns;
    unsigned power = 63 - (unsigned)__builtin_clzll(ns);
    return (power - 4) * 32 + (size_t)(ns >> (power - 5)) % 32;
}

static uint64_t value_of(size_t bucket) {
    if (bucket < 32) return bucket;
    size_t power = bucket / 32 + 4;
    return (uint64_t)(32 + bucket % 32) << (power - 5);
}

static double percentile_us(double part) {
    uint64_t wanted = (uint64_t)ceil(part * (double)answered), seen = 0;
    for (size_t i = 0; i < sizeof latencies / sizeof *latencies; i++) {
        seen += latencies[i];
        if (seen >= wanted && seen > 0) return (double)value_of(i) / 1000;
    }
    return 0;
}

// Messages

static void make_table(void) {
    size_t size = kOffsets + request_size;
    table = malloc(size);
    if (!table) die("malloc");
    uint32_t state = 2463534242u;
    for (size_t i = 0; i < size; i++) {
        state ^= state << 13, state ^= state >> 17, state ^= state << 5;
        table[i] = (char)state;
    }
    answer_size = request_size;
}

static const char* request_of(const Connection* c) {
    if (http_request) return http_request;
    uint32_t mixed = ((uint32_t)(c - connections) * 2654435761u) ^ (c->sequence * 2246822519u);
    return table + (mixed >> 16) % kOffsets;
}

static const char* answer_of(const Connection* c) {
    return http_request ? http_answer : request_of(c);
}

// One connection

static int open_connection(void) {
    struct sockaddr_in address = loopback(port);
    struct linger reset = {.l_onoff = 1, .l_linger = 0};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) die("load: socket");
    if (connect(fd, (struct sockaddr*)&address, sizeof address) < 0) die("load: connect");
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    return fd;
}

static void open_for(Connection* c) {
    c->fd = open_connection();
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = c};
    if (fcntl(c->fd, F_SETFL, O_NONBLOCK) < 0) die("load: fcntl");
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &event) < 0) die("load: epoll_ctl");
}

static void put(Connection* c) {
    while (c->sent < request_size) {
        ssize_t n = send(c->fd, request_of(c) + c->sent, request_size - c->sent, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN) return;
        if (n < 0) fail(c, strerror(errno));
        c->sent += (size_t)n;
    }
}

static void ask(Connection* c, uint64_t now) {
    c->busy = true;
    busy_count++;
    c->sequence++;
    c->sent = c->received = 0;
    c->started = now;
    put(c);
}

static bool may_ask(void) {
    if (!go_on) return false;
    if (requests_left == 0) return true;
    if (--requests_left == 0) go_on = false;
    return true;
}

static void complete(Connection* c) {
    uint64_t now = now_ns();
    c->busy = false;
    busy_count--;
    if (counting) {
        uint64_t took = now - c->started;
        latencies[bucket_of(took)]++;
        if (took > longest) longest = took;
        answered++;
        c->answered++;
    }
    if (!may_ask()) return;
    if (once) {
        now = now_ns();
        close(c->fd);
        open_for(c);
    }
    ask(c, now);
}

static void handle(Connection* c) {
    static char buffer[kBuffer];
    if (c->busy && c->sent < request_size) put(c);
    for (;;) {
        ssize_t n = recv(c->fd, buffer, sizeof buffer, 0);
        if (n < 0 && errno == EAGAIN) return;
        if (n < 0) fail(c, strerror(errno));
        if (n == 0) fail(c, "closed by the server");
        if (!c->busy || (size_t)n > answer_size - c->received) fail(c, "more bytes than expected");
        if (memcmp(buffer, answer_of(c) + c->received, (size_t)n) != 0) fail(c, "wrong bytes");
        c->received += (size_t)n;
        if (c->received == answer_size) complete(c);  // with --once it is another descriptor now
        if ((size_t)n < sizeof buffer || once) return;
    }
}

// Runs the loop until the deadline (0: none), or until nothing is under way any more.
static void run_until(uint64_t deadline) {
    static struct epoll_event events[kEvents];
    uint64_t last_heard = now_ns();
    while (busy_count > 0) {
        uint64_t now = now_ns();
        if (deadline && now >= deadline) return;
        uint64_t wait = deadline ? (deadline - now) / 1000000 + 1 : 1000;
        if (wait > 1000) wait = 1000;
        int count = epoll_wait(epoll, events, kEvents, spin ? 0 : (int)wait);
        if (count < 0 && errno != EINTR) die("load: epoll_wait");
        if (count > 0) last_heard = now_ns();
        for (int i = 0; i < count; i++) {
            Connection* c = events[i].data.ptr;
            if (c->busy || events[i].events != EPOLLOUT) handle(c);
        }
        if (now_ns() - last_heard > (uint64_t)kPatienceMs * 1000000) {
            fprintf(stderr, "load: %zu requests unanswered, nothing heard for %d s\n", busy_count,
                    kPatienceMs / 1000);
            exit(1);
        }
    }
}

static void open_all(void) {
    for (size_t i = 0; i < connection_count; i++) {
        open_for(&connections[i]);
        ask(&connections[i], now_ns());
        if ((i + 1) % kLot == 0) run_until(0);
    }
    run_until(0);
}

// Asks once on a connection of its own; the answer is the pattern for all others.
static void learn_http(const char* path) {
    if (asprintf(&http_request, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", path) < 0)
        die("load: asprintf");
    request_size = strlen(http_request);
    http_answer = calloc(1, kHttpMost + 1);
    if (!http_answer) die("load: calloc");
    int fd = open_connection();
    if (send(fd, http_request, request_size, MSG_NOSIGNAL) != (ssize_t)request_size)
        die("load: send");
    for (size_t have = 0; !answer_size || have < answer_size;) {
        ssize_t n = recv(fd, http_answer + have, kHttpMost - have, 0);
        if (n <= 0) die("load: the first answer");
        have += (size_t)n;
        char* end = strstr(http_answer, "\r\n\r\n");
        char* length = strcasestr(http_answer, "\r\nContent-Length: ");
        if (!answer_size && end && length)
            answer_size = (size_t)(end + 4 - http_answer) + strtoul(length + 18, NULL, 10);
    }
    close(fd);
    if (strncmp(http_answer, "HTTP/1.1 200 ", 13) != 0) {
        http_answer[strcspn(http_answer, "\r\n")] = 0;
        fprintf(stderr, "load: the server answers: %s\n", http_answer);
        exit(1);
    }
}

static uint64_t cpu_ns(clockid_t clock) {
    struct timespec time;
    if (clock_gettime(clock, &time) < 0) die("load: the server's CPU clock");
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static void report(uint64_t elapsed) {
    size_t starved = 0;
    for (size_t i = 0; i < connection_count; i++)
        if (i * active_count % connection_count < active_count && connections[i].answered == 0)
            starved++;
    printf("connections %zu\nactive %zu\n", connection_count, active_count);
    printf("seconds %.3f\nrequests %lu\n", (double)elapsed / 1e9, answered);
    printf("requests_per_second %.0f\n", (double)answered / ((double)elapsed / 1e9));
    printf("p50_us %.1f\np99_us %.1f\n", percentile_us(0.5), percentile_us(0.99));
    printf("max_us %.1f\nstarved %zu\n", (double)longest / 1000, starved);
}

static void wait_for_line(void) {
    for (int c; (c = getchar()) != '\n';)
        if (c == EOF) exit(0);
}

int main(int argc, char** argv) {
    static const struct option options[] = {{"port", required_argument, NULL, 'p'},
                                            {"connections", required_argument, NULL, 'c'},
                                            {"active", required_argument, NULL, 'a'},
                                            {"size", required_argument, NULL, 'z'},
                                            {"http", required_argument, NULL, 'h'},
                                            {"seconds", required_argument, NULL, 's'},
                                            {"requests", required_argument, NULL, 'r'},
                                            {"warmup", required_argument, NULL, 'w'},
                                            {"hold", no_argument, NULL, 'o'},
                                            {"once", no_argument, NULL, 'e'},
                                            {"spin", no_argument, NULL, 'n'},
                                            {"server-pid", required_argument, NULL, 'i'},
                                            {NULL, 0, NULL, 0}};
    double seconds = 1, warmup = 0;
    uint64_t requests = 0;
    const char* http_path = NULL;
    bool hold = false;
    pid_t server = 0;
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (option) {
            case 'p':
                port = atoi(optarg);
                break;
            case 'c':
                connection_count = strtoul(optarg, NULL, 10);
                break;
            case 'a':
                active_count = strtoul(optarg, NULL, 10);
                break;
            case 'z':
                request_size = strtoul(optarg, NULL, 10);
                break;
            case 'h':
                http_path = optarg;
                break;
            case 's':
                seconds = atof(optarg);
                break;
            case 'r':
                requests = strtoul(optarg, NULL, 10);
                break;
            case 'w':
                warmup = atof(optarg);
                break;
            case 'o':
                hold = true;
                break;
            case 'e':
                once = true;
                break;
            case 'n':
                spin = true;
                break;
            case 'i':
                server = atoi(optarg);
                break;
            default:
                return 2;
        }
    }
    if (active_count == 0) active_count = connection_count;
    if (optind != argc || port == 0 || connection_count == 0 || request_size == 0 ||
        active_count > connection_count || (requests > 0 && requests < active_count)) {
        fprintf(stderr, "load: needs --port, and 1 <= active <= connections <= requests\n");
        return 2;
    }
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < connection_count + 16) {
        fprintf(stderr, "load: RLIMIT_NOFILE is %lu\n", (unsigned long)limit.rlim_cur);
        return 1;
    }
    clockid_t server_clock = CLOCK_MONOTONIC;
    if (server && (errno = clock_getcpuclockid(server, &server_clock)) != 0)
        die("load: --server-pid");

    if (http_path) {
        learn_http(http_path);
    } else {
        make_table();
    }
    connections = calloc(connection_count, sizeof *connections);
    epoll = epoll_create1(EPOLL_CLOEXEC);
    if (!connections || epoll < 0) die("load");
    open_all();
    if (hold) {
        printf("ready\n");
        fflush(stdout);
        wait_for_line();
    }

    // The active connections lie evenly among all.
    go_on = true;
    counting = warmup == 0;
    requests_left = requests;
    uint64_t start = now_ns(), cpu_start = cpu_ns(server_clock);
    for (size_t i = 0; i < connection_count; i++)
        if (i * active_count % connection_count < active_count && may_ask())
            ask(&connections[i], now_ns());
    if (warmup > 0) {
        run_until(start + (uint64_t)(warmup * 1e9));
        counting = true;
        start = now_ns();
        cpu_start = cpu_ns(server_clock);
    }
    run_until(requests ? 0 : start + (uint64_t)(seconds * 1e9));
    uint64_t elapsed = now_ns() - start, cpu = cpu_ns(server_clock) - cpu_start;
    go_on = counting = false;
    report(elapsed);
    if (server && answered)
        printf("server_cpu_us_per_request %.3f\n", (double)cpu / 1000 / (double)answered);
    fflush(stdout);
    run_until(0);
    if (hold)
        while (getchar() != EOF) continue;
}
