// FILE streams on the connection, one for each direction.
#include "server.h"

static void serve_streams(int connection, int number, int peer) {
    FILE* in = fdopen(connection, "r");
    FILE* out = fdopen(dup(connection), "w");
    char line[4096];
    if (fgets(line, sizeof line, in) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        quit_if_asked(line, number);
        fprintf(out, "%d %d ", number, peer);
        fflush(out);
        usleep(200000);
        fprintf(out, "%s\n", line);
    }
    fclose(out);
    fclose(in);
}

int main(void) {
    int listener = listen_somewhere();
    for (int number = 1;; ++number) {
        int peer;
        int connection = accept_one(listener, &peer);
        serve_streams(connection, number, peer);
    }
}
