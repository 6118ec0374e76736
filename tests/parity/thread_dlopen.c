/* A library with thread-local variables loaded while threads are alive (libstdc++, whose record of
 * the exceptions in flight is per thread): threads made before and after have one each, zeroed, at
 * an address that stays. Beside it, what libc itself keeps per thread for errors: dlerror's text,
 * strerror's and strsignal's buffers, inet_ntoa's.
 *
 * PARITY: switches=150 threads=60
 */
#include "thread.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <netinet/in.h>

enum { early = 40, late = 20, all = early + late };
static pthread_barrier_t loaded, looked;
static void* (*get_globals)(void);
static void** globals[all];

static void* look(void* arg) {
    long i = (long)arg;
    if (i < early) pthread_barrier_wait(&loaded); /* alive before the library is */
    globals[i] = get_globals();
    CHECK(globals[i][0] == NULL);
    globals[i][0] = (void*)(i + 1);
    pthread_barrier_wait(&looked);
    for (int k = 0; k < all; k++) CHECK(k == i || globals[k] != globals[i]);
    CHECK(get_globals() == globals[i] && globals[i][0] == (void*)(i + 1));
    pthread_barrier_wait(&looked);
    globals[i][0] = NULL;

    char name[40], text[60];
    snprintf(name, sizeof name, "libnothing-%ld.so", i);
    CHECK(dlopen(name, RTLD_NOW) == NULL);
    struct in_addr address = {htonl(0x7f000000u + (uint32_t)i)};
    char* dotted = inet_ntoa(address);
    char* unknown = strerror(5000 + (int)i);
    char* signal_text = strsignal(1000 + (int)i);
    pthread_barrier_wait(&looked);
    const char* error = dlerror();
    CHECK(error && strstr(error, name) && dlerror() == NULL);
    snprintf(text, sizeof text, "127.0.0.%ld", i);
    CHECK(strcmp(dotted, text) == 0);
    snprintf(text, sizeof text, "Unknown error %ld", 5000 + i);
    CHECK(strcmp(unknown, text) == 0);
    snprintf(text, sizeof text, "Unknown signal %ld", 1000 + i);
    CHECK(strcmp(signal_text, text) == 0);
    return NULL;
}

int main(void) {
    pthread_t thread[all];
    pthread_barrier_init(&loaded, NULL, early + 1);
    pthread_barrier_init(&looked, NULL, all);
    for (long i = 0; i < early; i++) thread[i] = spawn(look, (void*)i);
    nap(10);
    void* library = dlopen("libstdc++.so.6", RTLD_NOW);
    CHECK(library != NULL);
    *(void**)&get_globals = dlsym(library, "__cxa_get_globals");
    CHECK(get_globals != NULL);
    pthread_barrier_wait(&loaded);
    for (long i = early; i < all; i++) thread[i] = spawn(look, (void*)i);
    for (int i = 0; i < all; i++) finish(thread[i]);
    printf("%d threads with their own\n", all);
    SHOW(dlclose(library));
    return 0;
}
