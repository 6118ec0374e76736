/* Looks names up, one call a line of stdin, in several threads at once, and prints every field of
 * every answer in the order of the lines.
 *
 *     lookup THREADS < lines
 *
 *     gai NODE SERVICE FLAGS FAMILY TYPE PROTOCOL    getaddrinfo; "-" is NULL, FLAGS -1 no hints
 *     host NAME FAMILY ROOM                          gethostbyname2_r, or gethostbyname_r for 0
 *     addr ADDRESS ROOM                              gethostbyaddr_r
 *     name ADDRESS PORT FLAGS ROOM                   getnameinfo
 *     old NAME FAMILY, olda ADDRESS                  gethostbyname, gethostbyname2, gethostbyaddr
 *     async NODE..., wait NODE...                    getaddrinfo_a, all at once, and gai_suspend
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <stdint.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_LINES = 5000, WORDS = 40 };

static char* lines[MOST_LINES];
static char* answers[MOST_LINES];
static int line_count, thread_count;

struct text {
    char* at;
    size_t size;
    FILE* file;
};

static void say_address(FILE* out, int family, const void* address) {
    char text[INET6_ADDRSTRLEN];
    fprintf(out, " [%s]", inet_ntop(family, address, text, sizeof text));
}

static void say_list(FILE* out, const struct addrinfo* one) {
    for (; one != NULL; one = one->ai_next) {
        char host[100], port[32];
        int error = getnameinfo(one->ai_addr, one->ai_addrlen, host, sizeof host, port, sizeof port,
                                NI_NUMERICHOST | NI_NUMERICSERV);
        fprintf(out, " [%s %s %#x %d %d %d %d %s]", error ? "?" : host, error ? "?" : port,
                (unsigned)one->ai_flags, one->ai_family, one->ai_socktype, one->ai_protocol,
                (int)one->ai_addrlen, one->ai_canonname ? one->ai_canonname : "-");
    }
}

static void say_entry(FILE* out, const struct hostent* entry) {
    fprintf(out, " %s %d %d", entry->h_name, entry->h_addrtype, entry->h_length);
    for (char** alias = entry->h_aliases; *alias != NULL; alias++) fprintf(out, " (%s)", *alias);
    for (char** one = entry->h_addr_list; *one != NULL; one++)
        say_address(out, entry->h_addrtype, *one);
}

static const char* given(const char* word) {
    return strcmp(word, "-") == 0 ? NULL : strcmp(word, "''") == 0 ? "" : word;
}

static int number(const char* word) { return (int)strtol(word, NULL, 0); }

static void ask_gai(FILE* out, char** word) {
    struct addrinfo hints = {0}, *list = NULL;
    hints.ai_flags = number(word[3]);
    hints.ai_family = number(word[4]);
    hints.ai_socktype = number(word[5]);
    hints.ai_protocol = number(word[6]);
    errno = 0;
    int error =
        getaddrinfo(given(word[1]), given(word[2]), hints.ai_flags == -1 ? NULL : &hints, &list);
    fprintf(out, " %d", error);
    if (error == EAI_SYSTEM) fprintf(out, " errno %d", errno);
    if (error == 0) {
        say_list(out, list);
        freeaddrinfo(list);
    }
}

static void say_result(FILE* out, int result, int error, const struct hostent* found) {
    fprintf(out, " %d", result);
    if (found == NULL) fprintf(out, " h_errno %d", error);
    if (found != NULL) say_entry(out, found);
}

static void ask_host(FILE* out, char** word) {
    struct hostent entry, *found = NULL;
    int error = 0, family = number(word[2]);
    size_t room = (size_t)number(word[3]);
    char* space = malloc(room);
    int result = family != 0
                     ? gethostbyname2_r(given(word[1]), family, &entry, space, room, &found, &error)
                     : gethostbyname_r(given(word[1]), &entry, space, room, &found, &error);
    say_result(out, result, error, found);
    free(space);
}

static int parse(const char* text, void* address) {
    return inet_pton(AF_INET, text, address) == 1    ? AF_INET
           : inet_pton(AF_INET6, text, address) == 1 ? AF_INET6
                                                     : -1;
}

static void ask_addr(FILE* out, char** word) {
    unsigned char address[16];
    int family = parse(word[1], address), error = 0;
    socklen_t length = family == AF_INET ? 4 : 16;
    size_t room = (size_t)number(word[2]);
    struct hostent entry, *found = NULL;
    char* space = malloc(room);
    int result = gethostbyaddr_r(address, length, family, &entry, space, room, &found, &error);
    say_result(out, result, error, found);
    free(space);
}

static void ask_name(FILE* out, char** word) {
    struct sockaddr_storage address = {0};
    struct sockaddr_in* v4 = (struct sockaddr_in*)&address;
    struct sockaddr_in6* v6 = (struct sockaddr_in6*)&address;
    socklen_t length = sizeof *v4;
    v4->sin_family = AF_INET;
    if (inet_pton(AF_INET, word[1], &v4->sin_addr) != 1) {
        v6->sin6_family = AF_INET6;
        length = sizeof *v6;
        char* scope = strchr(word[1], '%');
        if (scope) {
            v6->sin6_scope_id = (uint32_t)number(scope + 1);
            *scope = 0;
        }
        inet_pton(AF_INET6, word[1], &v6->sin6_addr);
    }
    v4->sin_port = htons((uint16_t)number(word[2]));
    char host[300] = "", service[100] = "";
    errno = 0;
    int error = getnameinfo((struct sockaddr*)&address, length, host, (socklen_t)number(word[4]),
                            service, sizeof service, number(word[3]));
    fprintf(out, " %d", error);
    if (error == 0) fprintf(out, " %s %s", host, service);
    if (error == EAI_SYSTEM) fprintf(out, " errno %d", errno);
}

static pthread_mutex_t old = PTHREAD_MUTEX_INITIALIZER; /* their answer is everybody's */

static void ask_old(FILE* out, char** word) {
    pthread_mutex_lock(&old);
    struct hostent* found = NULL;
    unsigned char address[16];
    if (strcmp(word[0], "olda") == 0) {
        int family = parse(word[1], address);
        found = gethostbyaddr(address, family == AF_INET ? 4 : 16, family);
    } else {
        int family = number(word[2]);
        found = family ? gethostbyname2(word[1], family) : gethostbyname(word[1]);
    }
    if (found == NULL) fprintf(out, " h_errno %d", h_errno);
    if (found != NULL) say_entry(out, found);
    pthread_mutex_unlock(&old);
}

static void ask_async(FILE* out, char** word) {
    struct gaicb items[WORDS], *list[WORDS];
    struct addrinfo hints = {0};
    int count = 0;
    hints.ai_socktype = SOCK_STREAM;
    memset(items, 0, sizeof items);
    for (; word[count + 1] != NULL; count++) {
        items[count].ar_name = word[count + 1];
        items[count].ar_request = &hints;
        list[count] = &items[count];
    }
    int mode = strcmp(word[0], "wait") == 0 ? GAI_WAIT : GAI_NOWAIT;
    fprintf(out, " %d", getaddrinfo_a(mode, list, count, NULL));
    /* One after the other: glibc's gai_suspend goes wrong when two end at the same time. */
    for (int i = 0; i < count; i++) {
        const struct gaicb* one[] = {list[i]};
        struct timespec never = {1000, 0};
        while (gai_error(list[i]) == EAI_INPROGRESS) gai_suspend(one, 1, i % 2 ? &never : NULL);
        fprintf(out, " %d", gai_suspend(one, 1, NULL));
    }
    for (int i = 0; i < count; i++) {
        fprintf(out, " %s %d", items[i].ar_name, gai_error(&items[i]));
        if (gai_error(&items[i]) == 0) {
            say_list(out, items[i].ar_result);
            freeaddrinfo(items[i].ar_result);
        }
    }
}

static void answer(int which) {
    char *copy = strdup(lines[which]), *save = NULL, *word[WORDS] = {NULL};
    int count = 0;
    for (char* one = strtok_r(copy, " ", &save); one && count < WORDS - 1;
         one = strtok_r(NULL, " ", &save))
        word[count++] = one;
    char* text = NULL;
    size_t size = 0;
    FILE* out = open_memstream(&text, &size);
    fprintf(out, "%s:", lines[which]);
    if (strcmp(word[0], "gai") == 0) ask_gai(out, word);
    if (strcmp(word[0], "host") == 0) ask_host(out, word);
    if (strcmp(word[0], "addr") == 0) ask_addr(out, word);
    if (strcmp(word[0], "name") == 0) ask_name(out, word);
    if (strncmp(word[0], "old", 3) == 0) ask_old(out, word);
    if (strcmp(word[0], "async") == 0 || strcmp(word[0], "wait") == 0) ask_async(out, word);
    fclose(out);
    answers[which] = text;
    free(copy);
}

static void* work(void* argument) {
    for (int i = (int)(intptr_t)argument; i < line_count; i += thread_count) answer(i);
    return NULL;
}

int main(int argc, char** argv) {
    static char line[1000];
    thread_count = argc > 1 ? atoi(argv[1]) : 1;
    while (line_count < MOST_LINES && fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = 0;
        if (line[0]) lines[line_count++] = strdup(line);
    }
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 256 * 1024);
    pthread_t* threads = calloc((size_t)thread_count, sizeof *threads);
    for (int i = 0; i < thread_count; i++)
        if (pthread_create(&threads[i], &attributes, work, (void*)(intptr_t)i) != 0) return 2;
    for (int i = 0; i < thread_count; i++) pthread_join(threads[i], NULL);
    for (int i = 0; i < line_count; i++) {
        puts(answers[i]);
        free(answers[i]);
        free(lines[i]);
    }
    free(threads);
    pthread_attr_destroy(&attributes);
    return 0;
}
