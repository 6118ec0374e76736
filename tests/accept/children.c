// A server with children of its own: for each connection it starts one and waits for any child; it
// counts SIGCHLD and looks, at each connection, whether there is a child it does not know.
#include <signal.h>
#include <sys/wait.h>

#include "server.h"

static volatile sig_atomic_t signals;

static void on_child(int number) {
    (void)number;
    ++signals;
}

int main(void) {
    struct sigaction action = {.sa_handler = on_child, .sa_flags = SA_RESTART};
    sigaction(SIGCHLD, &action, NULL);
    int listener = listen_somewhere();
    for (int number = 1;; ++number) {
        int peer;
        int connection = accept_one(listener, &peer);
        char request[64] = "";
        ssize_t n = read(connection, request, sizeof request - 1);
        if (n > 0) request[n - 1] = '\0';
        quit_if_asked(request, number);
        const char* wrong = "ok";
        if (waitpid(-1, NULL, WNOHANG) != -1 || errno != ECHILD) wrong = "a strange child";
        int before = signals;
        pid_t child = fork();
        if (child == 0) _exit(3);
        int status;
        if (wait(&status) != child || WEXITSTATUS(status) != 3) wrong = "the wrong child";
        while (signals == before) usleep(1000);
        usleep(200000);
        if (signals != before + 1) wrong = "a strange SIGCHLD";
        char answer[128];
        int length = snprintf(answer, sizeof answer, "%d %d %s\n", number, peer, wrong);
        if (write(connection, answer, (size_t)length) != length) perror("write");
        close(connection);
    }
}
