// The yardstick for HTTP: what http_threads.c answers (http.h), by hand for epoll (epoll_server.h).
// It does not sleep, and its answers have 64 KiB at most: the rest is 404 here.
//
//     http_epoll [--port N] [--stacks]
#define _GNU_SOURCE
#include "epoll_server.h"
#include "http.h"

enum { kAnswer = 1 << 16, kHead = 256 };

static size_t write_answer(char* to, const Request* request) {
    size_t size = (size_t)request->number;
    const char* status = "200 OK";
    if (request->what != kBytes || size > kAnswer) {
        status = request->what == kBad ? "400 Bad Request" : "404 Not Found";
        size = 0;
    }
    int head = write_head(to, kHead, status, size, request->keep);
    write_letters(to + head, size);
    return (size_t)head + size;
}

// Requests may come in pieces, and several at once: what is left is kept for the next time.
static const char* answer(Connection* c, char* bytes, size_t size, size_t* answer_size) {
    static char text[kRequest + kBuffer + 1];
    static char* answers;
    static size_t room;
    memcpy(text, c->partly, c->partly_size);
    memcpy(text + c->partly_size, bytes, size);
    size += c->partly_size;
    text[size] = 0;
    size_t used = 0, length;
    Request request;
    *answer_size = 0;
    while (!c->last && (length = read_request(text + used, &request)) > 0) {
        used += length;
        if (room < *answer_size + kHead + kAnswer) {
            room = *answer_size + kHead + kAnswer;
            answers = realloc(answers, room);
            if (!answers) die("realloc");
        }
        *answer_size += write_answer(answers + *answer_size, &request);
        c->last = !request.keep;
    }
    size_t left = size - used;
    if (left > kRequest) c->last = true;
    if (left != c->partly_size || left > 0) {
        free(c->partly);
        c->partly = left > 0 ? malloc(left) : NULL;
        if (left > 0 && !c->partly) die("malloc");
        if (left > 0) memcpy(c->partly, text + used, left);
        c->partly_size = c->last ? 0 : left;
    }
    return answers;
}

int main(int argc, char** argv) { return epoll_server(argc, argv); }
