// What the HTTP servers of this directory understand and say: the same code in all of them, so that
// what is compared is how they wait.
//
//     GET /sleep/MS    "slept MS" after MS milliseconds
//     GET /bytes/N     N letters, a to z over and over
//     anything else    404
//
// Nothing in an answer changes from one request to the next (no Date header), so a client can
// compare whole answers.
#pragma once

#include <stdbool.h>
#include <strings.h>

#include "common.h"

enum { kRequest = 8192, kMostBytes = 64 << 20, kLongestSleep = 600000 };

typedef struct {
    enum { kSleep, kBytes, kUnknown, kBad } what;
    long number;
    bool keep;  // the connection, for another request
} Request;

// Reads the request that `text` begins with, a string that may be written to. Returns its length,
// 0 if it is not complete.
static inline size_t read_request(char* text, Request* request) {
    char* end = strstr(text, "\r\n\r\n");
    if (!end) return 0;
    end[2] = 0;
    request->keep = !strcasestr(text, "\r\nConnection: close\r\n") && !strstr(text, " HTTP/1.0\r");
    char path[256];
    long* number = &request->number;
    if (sscanf(text, "GET %255s HTTP/", path) != 1) {
        request->what = kBad;
        request->keep = false;
    } else if (sscanf(path, "/sleep/%ld", number) == 1 && *number >= 0 && *number <= kLongestSleep)
        request->what = kSleep;
    else if (sscanf(path, "/bytes/%ld", number) == 1 && *number >= 0 && *number <= kMostBytes)
        request->what = kBytes;
    else
        request->what = kUnknown;
    return (size_t)(end + 4 - text);
}

static inline int write_head(char* to, size_t room, const char* status, size_t size, bool keep) {
    return snprintf(to, room,
                    "HTTP/1.1 %s\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n%s\r\n",
                    status, size, keep ? "" : "Connection: close\r\n");
}

static inline void write_letters(char* to, size_t size) {
    for (size_t i = 0; i < size; i++) to[i] = (char)('a' + i % 26);
}
