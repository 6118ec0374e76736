/* FILE streams on sockets, as in a textbook's line protocol: fdopen for reading and writing, fgets,
 * fprintf, getline, fread, fscanf, getc and ungetc in several servers and clients at once; the end
 * of file, the half-closed connection.
 *
 * PARITY: switches=200 threads=17 */
#include "parity.h"

enum { CLIENTS = 8, LINES = 25 };

static int listener;

/* Adds up the numbers of each line; "quit" ends. */
static void* serve(void* argument) {
    int fd = (int)(intptr_t)argument;
    FILE *in = fdopen(fd, "r"), *out = fdopen(dup(fd), "w");
    CHECK(in != NULL && out != NULL);
    setvbuf(out, NULL, _IOLBF, 0);
    char line[200];
    while (fgets(line, sizeof line, in) != NULL && strcmp(line, "quit\n") != 0) {
        long sum = 0;
        char* rest = line;
        while (*rest != '\n') sum += strtol(rest, &rest, 10);
        fprintf(out, "sum %ld\n", sum);
    }
    fputs("goodbye ", out);
    fflush(out);
    for (int i = 0; i < 3; i++) putc("bye"[i], out);
    fputc('\n', out);
    SAME(fclose(out), 0);
    SAME(fclose(in), 0);
    return NULL;
}

static void* accept_all(void* argument) {
    pthread_t servers[CLIENTS];
    (void)argument;
    for (int i = 0; i < CLIENTS; i++) {
        int fd = accept(listener, NULL, NULL);
        CHECK(fd >= 0);
        servers[i] = start(serve, (void*)(intptr_t)fd);
    }
    for (int i = 0; i < CLIENTS; i++) join(servers[i]);
    return NULL;
}

static void* ask(void* argument) {
    int me = (int)(intptr_t)argument, fd = tcp_connect(port_of(listener));
    FILE* stream = fdopen(fd, "r+");
    CHECK(stream != NULL);
    char* line = NULL;
    size_t room = 0;
    for (int i = 0; i < LINES; i++) {
        if (i % 10 == 0) wait_ticks(1);
        fprintf(stream, "%d %d\n", me, i);
        SAME(fflush(stream), 0);
        long sum = -1;
        char word[4] = "";
        switch (i % 3) {
            case 0:
                CHECK(getline(&line, &room, stream) > 0);
                SAME(sscanf(line, "sum %ld\n", &sum), 1);
                break;
            case 1:
                SAME(fscanf(stream, "%3s %ld", word, &sum), 2), SAME(getc(stream), '\n');
                break;
            case 2:
                SAME(fread(word, 1, 3, stream), 3);
                SAME(ungetc(' ', stream), ' ');
                SAME(fscanf(stream, "%ld%*c", &sum), 1);
        }
        SAME(sum, me + i);
        fseek(stream, 0, SEEK_CUR); /* from reading to writing; fails on a socket, harmlessly */
    }
    fputs("quit\n", stream);
    fflush(stream);
    CHECK(getline(&line, &room, stream) > 0);
    SAME(strcmp(line, "goodbye bye\n"), 0);
    SAME(getline(&line, &room, stream), -1);
    CHECK(feof(stream) && !ferror(stream));
    free(line);
    SAME(fclose(stream), 0);
    return NULL;
}

int main(void) {
    start_ticking();
    listener = tcp_listen(CLIENTS);
    pthread_t acceptor = start(accept_all, NULL), clients[CLIENTS];
    for (int i = 0; i < CLIENTS; i++) clients[i] = start(ask, (void*)(intptr_t)i);
    for (int i = 0; i < CLIENTS; i++) join(clients[i]);
    join(acceptor);
    say("%d clients asked %d times", CLIENTS, LINES);
    stop_ticking();
    return 0;
}
