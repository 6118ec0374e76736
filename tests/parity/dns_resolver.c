/* getaddrinfo, gethostbyname_r and getnameinfo through glibc's resolver, asked by many threads of a
 * name server which is a thread of this same program: answers, slow answers, lost questions,
 * answers by TCP, names that do not exist.
 *
 * PARITY: switches=100 threads=18 */
#include "dns_server.h"

enum { THREADS = 15, NAMES = 8 };

static void show(char* text, size_t room, const char* name, int family) {
    struct addrinfo hints, *list = NULL;
    memset(&hints, 0, sizeof hints);
    hints.ai_family = family;
    hints.ai_socktype = SOCK_STREAM;
    int error = getaddrinfo(name, "443", &hints, &list);
    size_t used = strlen(text);
    used += (size_t)snprintf(text + used, room - used, "%s %d: %d", name, family, error);
    for (struct addrinfo* one = list; error == 0 && one != NULL; one = one->ai_next) {
        char host[NI_MAXHOST];
        SAME(getnameinfo(one->ai_addr, one->ai_addrlen, host, sizeof host, NULL, 0, NI_NUMERICHOST),
             0);
        used += (size_t)snprintf(text + used, room - used, " %s", host);
    }
    snprintf(text + used, room - used, "\n");
    if (error == 0) freeaddrinfo(list);
}

static void* ask(void* argument) {
    int me = (int)(intptr_t)argument, error = 0;
    char *text = (char*)calloc(1, 4000), name[64], host[NI_MAXHOST] = "?", space[1000];
    SAME(res_init(), 0); /* each thread has a state of its own */
    use_dns(&_res);
    for (int i = 0; i < NAMES; i++) {
        snprintf(name, sizeof name, "host%d.test", me * 100 + i);
        show(text, 4000, name, i % 2 ? AF_INET : AF_UNSPEC);
    }
    snprintf(name, sizeof name, "slow%d.test", me);
    show(text, 4000, name, AF_INET);
    snprintf(name, sizeof name, "big%d.test", me);
    show(text, 4000, name, AF_INET);
    if (me % 5 == 0) {
        snprintf(name, sizeof name, "lost%d.test", me);
        show(text, 4000, name, AF_INET);
    }
    show(text, 4000, "nobody.example", AF_UNSPEC);
    show(text, 4000, "host1.test", AF_INET6);

    struct hostent entry, *found = NULL;
    snprintf(name, sizeof name, "host%d.test", me);
    SAME(gethostbyname_r(name, &entry, space, sizeof space, &found, &error), 0);
    struct sockaddr_in address = loopback(1);
    address.sin_addr.s_addr = htonl(0x0a000000u + 1000 + (unsigned)me);
    int named = getnameinfo((struct sockaddr*)&address, sizeof address, host, sizeof host, NULL, 0,
                            NI_NAMEREQD);
    size_t used = strlen(text);
    snprintf(text + used, 4000 - used, "%s %s, reverse %d %s\n", found ? found->h_name : "nobody",
             found ? inet_ntoa(*(struct in_addr*)found->h_addr_list[0]) : "-", named, host);
    return text;
}

int main(void) {
    start_ticking();
    start_dns();
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) threads[i] = start(ask, (void*)(intptr_t)i);
    for (int i = 0; i < THREADS; i++) {
        char* text = (char*)join(threads[i]);
        printf("%s", text);
        free(text);
    }
    say("%s", value_of(&dns_asked) > 100 ? "the server was asked" : "the server was not asked");
    stop_dns();
    stop_ticking();
    return 0;
}
