/* Functions around libc's, each of which looks libc's up in its own way. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

int around_calls;

int getaddrinfo(const char* node, const char* service, const struct addrinfo* hints,
                struct addrinfo** list) {
    static int (*next)(const char*, const char*, const struct addrinfo*, struct addrinfo**);
    void* found = dlsym(RTLD_NEXT, "getaddrinfo");
    memcpy(&next, &found, sizeof next);
    around_calls++;
    return next(node, service, hints, list);
}

int system(const char* command) {
    static int (*next)(const char*);
    void* found = dlsym(dlopen("libc.so.6", RTLD_LAZY), "system");
    memcpy(&next, &found, sizeof next);
    around_calls++;
    return next(command);
}

int timer_settime(timer_t timer, int flags, const struct itimerspec* time, struct itimerspec* old) {
    static int (*next)(timer_t, int, const struct itimerspec*, struct itimerspec*);
    void* found = dlvsym(RTLD_NEXT, "timer_settime", "GLIBC_2.3.3");
    memcpy(&next, &found, sizeof next);
    around_calls++;
    return next(timer, flags, time, old);
}
