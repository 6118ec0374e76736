/* fork(2) while other threads look names up: the child looks up on its own, natively
 * single-threaded and with threads; the parent's look-ups are answered as if nothing had happened.
 *
 * PARITY: switches=50 threads=14
 */
#include "dns_server.h"

#include <sys/wait.h>

enum { THREADS = 10 };

static void look_up(const char* name, char* text) {
    struct addrinfo hints, *list = NULL;
    memset(&hints, 0, sizeof hints);
    hints.ai_family = AF_INET;
    hints.ai_socktype = SOCK_STREAM;
    SAME(res_init(), 0);
    use_dns(&_res);
    _res.retrans = 5;
    SAME(getaddrinfo(name, "80", &hints, &list), 0);
    inet_ntop(AF_INET, &((struct sockaddr_in*)list->ai_addr)->sin_addr, text, INET_ADDRSTRLEN);
    freeaddrinfo(list);
}

static void* ask(void* argument) {
    char name[32], text[INET_ADDRSTRLEN];
    snprintf(name, sizeof name, "slow%d.test", (int)(intptr_t)argument);
    look_up(name, text);
    return strdup(text);
}

static void* fork_and_ask(void* argument) {
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        char text[INET_ADDRSTRLEN];
        look_up("host1000.test", text);
        CHECK(strcmp(text, "10.0.3.232") == 0);
        char* other = (char*)join(start(ask, (void*)(intptr_t)2000));
        CHECK(strcmp(other, "10.0.7.208") == 0);
        _exit(7);
    }
    int status;
    SAME(waitpid(child, &status, 0), child);
    CHECK(WIFEXITED(status));
    say("the child ended with %d", WEXITSTATUS(status));
    return argument;
}

int main(void) {
    pthread_t threads[THREADS];
    start_ticking();
    start_dns();
    for (int i = 0; i < THREADS; i++) threads[i] = start(ask, (void*)(intptr_t)i);
    wait_ticks(2);
    join(start(fork_and_ask, NULL));
    for (int i = 0; i < THREADS; i++) {
        char* text = (char*)join(threads[i]);
        say("slow%d: %s", i, text);
        free(text);
    }
    join(start(fork_and_ask, NULL));
    stop_dns();
    stop_ticking();
    return 0;
}
