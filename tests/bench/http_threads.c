// A small HTTP/1.1 server as many embedded ones are: a thread for each connection, which reads a
// request, works on it and writes the answer, as long as the client keeps the connection.
// Plain read and write, default thread attributes, no files.
//
//     http_threads [--port N] [--stack KIB]
//
// It answers what http.h says.
#define _GNU_SOURCE
#include <errno.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>

#include "http.h"

static bool put_all(int fd, const char* bytes, size_t size) {
    while (size > 0) {
        ssize_t n = write(fd, bytes, size);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return false;
        bytes += n;
        size -= (size_t)n;
    }
    return true;
}

static bool answer(int fd, const char* status, const char* body, size_t size, bool keep) {
    char small[1024];
    int head = write_head(small, sizeof small, status, size, keep);
    if ((size_t)head + size <= sizeof small) {  // one write, one packet
        memcpy(small + head, body, size);
        return put_all(fd, small, (size_t)head + size);
    }
    return put_all(fd, small, (size_t)head) && put_all(fd, body, size);
}

static bool answer_sleep(int fd, long ms, bool keep) {
    struct timespec left = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    while (nanosleep(&left, &left) < 0 && errno == EINTR) continue;
    char body[64];
    int size = snprintf(body, sizeof body, "slept %ld\n", ms);
    return answer(fd, "200 OK", body, (size_t)size, keep);
}

static bool answer_bytes(int fd, size_t size, bool keep) {
    char little[512];
    char* body = size <= sizeof little ? little : malloc(size);
    if (!body) return answer(fd, "503 Service Unavailable", "", 0, keep);
    write_letters(body, size);
    bool done = answer(fd, "200 OK", body, size, keep);
    if (body != little) free(body);
    return done;
}

static bool answer_request(int fd, const Request* request) {
    switch (request->what) {
        case kSleep:
            return answer_sleep(fd, request->number, request->keep);
        case kBytes:
            return answer_bytes(fd, (size_t)request->number, request->keep);
        case kUnknown:
            return answer(fd, "404 Not Found", "not found\n", 10, request->keep);
        case kBad:
            break;
    }
    return answer(fd, "400 Bad Request", "", 0, false);
}

static void* serve(void* argument) {
    int fd = (int)(intptr_t)argument;
    char text[kRequest + 1];
    size_t have = 0;
    for (Request request = {.keep = true}; request.keep;) {
        text[have] = 0;
        size_t length = read_request(text, &request);
        if (length == 0) {
            if (have == kRequest) break;
            ssize_t n = read(fd, text + have, kRequest - have);
            if (n < 0 && errno == EINTR) continue;
            if (n <= 0) break;
            have += (size_t)n;
            continue;
        }
        if (!answer_request(fd, &request)) break;
        have -= length;  // a pipelined request may follow
        memmove(text, text + length, have);
    }
    close(fd);
    return NULL;
}

int main(int argc, char** argv) {
    static const struct option options[] = {{"port", required_argument, NULL, 'p'},
                                            {"stack", required_argument, NULL, 's'},
                                            {NULL, 0, NULL, 0}};
    int port = 0;
    size_t stack_kib = 0;
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (option) {
            case 'p':
                port = atoi(optarg);
                break;
            case 's':
                stack_kib = strtoul(optarg, NULL, 10);
                break;
            default:
                return 2;
        }
    }
    signal(SIGPIPE, SIG_IGN);

    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    if (stack_kib > 0 && (errno = pthread_attr_setstacksize(&attributes, stack_kib * 1024)) != 0)
        die("pthread_attr_setstacksize");

    int listener = listen_on_loopback(port);
    for (;;) {
        int fd = accept(listener, NULL, NULL);
        if (fd < 0) {
            if (errno == EINTR || errno == ECONNABORTED) continue;
            die("accept");
        }
        int on = 1;  // else the second write of a large answer waits for the client's delayed ACK
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        pthread_t thread;
        if ((errno = pthread_create(&thread, &attributes, serve, (void*)(intptr_t)fd)) != 0) {
            perror("pthread_create");
            close(fd);
            continue;
        }
        pthread_detach(thread);
    }
}
