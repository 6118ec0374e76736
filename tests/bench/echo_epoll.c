// The yardstick: an echo server written by hand for epoll (epoll_server.h).
//
//     echo_epoll [--port N] [--stacks]
#define _GNU_SOURCE
#include "epoll_server.h"

static const char* answer(Connection* c, char* bytes, size_t size, size_t* answer_size) {
    (void)c;
    *answer_size = size;
    return bytes;
}

int main(int argc, char** argv) { return epoll_server(argc, argv); }
