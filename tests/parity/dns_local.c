/* Names that need no server, asked by many threads at once: localhost and numeric addresses by
 * getaddrinfo, gethostbyname and its reentrant forms, gethostbyaddr, getnameinfo, getservbyname_r;
 * every field of every answer, and the errors, printed once.
 *
 * PARITY: switches=20 threads=20 */
#include "parity.h"

#include <netdb.h>

enum { THREADS = 20, ROUNDS = 10 };

static void add(char* text, size_t room, const char* format, ...) {
    size_t used = strlen(text);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text + used, room - used, format, arguments);
    va_end(arguments);
}

/* Everything getaddrinfo says, as text. */
static void ask(char* text, size_t room, const char* node, const char* service, int flags,
                int family, int type) {
    struct addrinfo hints, *list = NULL;
    memset(&hints, 0, sizeof hints);
    hints.ai_flags = flags;
    hints.ai_family = family;
    hints.ai_socktype = type;
    int error = getaddrinfo(node, service, &hints, &list);
    add(text, room, "%s %s %#x:", node ? node : "-", service ? service : "-", (unsigned)flags);
    if (error != 0) {
        add(text, room, " error %d\n", error);
        return;
    }
    for (struct addrinfo* one = list; one != NULL; one = one->ai_next) {
        char host[NI_MAXHOST], port[NI_MAXSERV];
        SAME(getnameinfo(one->ai_addr, one->ai_addrlen, host, sizeof host, port, sizeof port,
                         NI_NUMERICHOST | NI_NUMERICSERV),
             0);
        add(text, room, " [%s %s %d %d %d %s]", host, port, one->ai_family, one->ai_socktype,
            one->ai_protocol, one->ai_canonname ? one->ai_canonname : "-");
    }
    add(text, room, "\n");
    freeaddrinfo(list);
}

static void ask_old(char* text, size_t room, const char* name, int family) {
    struct hostent entry, *found = NULL;
    char space[2000], address[100];
    int error = 0;
    int result = gethostbyname2_r(name, family, &entry, space, sizeof space, &found, &error);
    add(text, room, "%s in family %d: %d", name, family, result);
    if (found == NULL) {
        add(text, room, " error %d\n", error);
        return;
    }
    add(text, room, " %s", found->h_name);
    for (char** alias = found->h_aliases; *alias != NULL; alias++) add(text, room, " (%s)", *alias);
    for (char** one = found->h_addr_list; *one != NULL; one++)
        add(text, room, " [%s]",
            inet_ntop(found->h_addrtype, *one, address, (socklen_t)sizeof address));
    add(text, room, "\n");
}

static void ask_all(char* text, size_t room) {
    text[0] = 0;
    ask(text, room, "localhost", NULL, 0, AF_INET, SOCK_STREAM);
    ask(text, room, "localhost", "80", AI_CANONNAME, AF_INET, 0);
    ask(text, room, "127.0.0.1", "http", 0, AF_UNSPEC, SOCK_STREAM);
    ask(text, room, "::1", "53", AI_NUMERICHOST, AF_UNSPEC, SOCK_DGRAM);
    ask(text, room, "fe80::1%lo", "1", AI_NUMERICHOST, AF_INET6, SOCK_STREAM);
    ask(text, room, "127.1", NULL, 0, AF_INET, SOCK_STREAM);
    ask(text, room, "0x7f000001", "0", AI_NUMERICSERV, AF_INET, SOCK_STREAM);
    ask(text, room, NULL, "8080", AI_PASSIVE, AF_INET, SOCK_STREAM);
    ask(text, room, NULL, "8080", 0, AF_UNSPEC, SOCK_STREAM);
    ask(text, room, "127.0.0.1", NULL, AI_V4MAPPED, AF_INET6, SOCK_STREAM);
    ask(text, room, "localhost", NULL, AI_NUMERICHOST, AF_UNSPEC, 0);
    ask(text, room, "127.0.0.1", "no-such-service", 0, AF_UNSPEC, SOCK_STREAM);
    ask(text, room, "127.0.0.1", "http", AI_NUMERICSERV, AF_UNSPEC, SOCK_STREAM);
    ask(text, room, NULL, NULL, 0, AF_UNSPEC, 0);
    ask(text, room, "::1", NULL, 0, AF_INET, SOCK_STREAM);
    ask(text, room, "127.0.0.1", NULL, 0, 99, SOCK_STREAM);
    ask(text, room, "127.0.0.1", NULL, 0x100000, AF_INET, SOCK_STREAM);
    ask(text, room, "127.0.0.1", NULL, 0, AF_INET, 99);
    ask_old(text, room, "localhost", AF_INET);
    ask_old(text, room, "10.1.2.3", AF_INET);
    ask_old(text, room, "::1", AF_INET6);

    struct in_addr loop = {htonl(INADDR_LOOPBACK)};
    struct hostent entry, *found = NULL;
    char space[2000], tiny[8];
    int error;
    SAME(gethostbyaddr_r(&loop, sizeof loop, AF_INET, &entry, space, sizeof space, &found, &error),
         0);
    add(text, room, "127.0.0.1 is %s\n", found ? found->h_name : "nobody");
    SAME(gethostbyname_r("localhost", &entry, tiny, sizeof tiny, &found, &error), ERANGE);
    struct sockaddr_in address = loopback(80);
    char host[NI_MAXHOST], service[NI_MAXSERV];
    SAME(getnameinfo((struct sockaddr*)&address, sizeof address, host, sizeof host, service,
                     sizeof service, 0),
         0);
    add(text, room, "getnameinfo: %s %s\n", host, service);
    SAME(getnameinfo((struct sockaddr*)&address, sizeof address, host, 3, NULL, 0, NI_NUMERICHOST),
         EAI_OVERFLOW);
    struct servent served, *service_found = NULL;
    SAME(getservbyname_r("ssh", "tcp", &served, space, sizeof space, &service_found), 0);
    add(text, room, "ssh: %d\n", service_found ? ntohs((uint16_t)served.s_port) : -1);
}

static void* ask_often(void* argument) {
    const char* expected = (const char*)argument;
    char* text = (char*)malloc(10000);
    for (int i = 0; i < ROUNDS; i++) {
        ask_all(text, 10000);
        CHECK(strcmp(text, expected) == 0);
        usleep(100);
    }
    free(text);
    return NULL;
}

int main(void) {
    static char text[10000];
    start_ticking();
    ask_all(text, sizeof text);
    printf("%s", text);
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) threads[i] = start(ask_often, text);
    for (int i = 0; i < THREADS; i++) join(threads[i]);
    say("%d threads got the same %d times", THREADS, ROUNDS);
    struct hostent* entry = gethostbyname("localhost");
    CHECK(entry != NULL);
    say("gethostbyname: %s %s", entry->h_name, inet_ntoa(*(struct in_addr*)entry->h_addr_list[0]));
    stop_ticking();
    return 0;
}
