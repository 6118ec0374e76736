/* Three listeners in one poll(2), and whatever is said to be ready is accepted from. The clients
 * are children; each must be given its own words back. Prints how many were not, and ends. */
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LISTENERS = 3, CLIENTS = 140 };

static struct sockaddr_in addresses[LISTENERS];

static int all(int fd, char* to, int room) {
    int size = 0;
    for (ssize_t n; size < room && (n = read(fd, to + size, (size_t)(room - size))) > 0;)
        size += (int)n;
    return size;
}

static int client(int number) {
    struct sockaddr_in* address = &addresses[number % LISTENERS];
    char words[32], answer[64];
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(fd, (struct sockaddr*)address, sizeof *address) != 0) return 2;
    int size = snprintf(words, sizeof words, "client %d", number);
    usleep(number % 3 ? 100000 : 1000);
    if (write(fd, words, (size_t)size) != size || shutdown(fd, SHUT_WR) != 0) return 3;
    return all(fd, answer, sizeof answer) != size || memcmp(words, answer, (size_t)size) != 0;
}

static void clients(int done) {
    int bad = 0;
    for (int i = 0; i < CLIENTS; i++)
        if (fork() == 0) _exit(client(i));
    for (int status; wait(&status) > 0;) bad += status != 0;
    if (write(done, &bad, sizeof bad) < 0) bad = 1;
    _exit(bad != 0);
}

int main(void) {
    struct pollfd set[LISTENERS + 1];
    int done[2];
    for (int i = 0; i < LISTENERS; i++) {
        socklen_t size = sizeof addresses[i];
        addresses[i].sin_family = AF_INET;
        addresses[i].sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        set[i] = (struct pollfd){socket(AF_INET, SOCK_STREAM, 0), POLLIN, 0};
        if (bind(set[i].fd, (struct sockaddr*)&addresses[i], size) != 0) return 1;
        getsockname(set[i].fd, (struct sockaddr*)&addresses[i], &size);
        listen(set[i].fd, CLIENTS);
    }
    if (pipe(done) != 0) return 1;
    if (fork() == 0) clients(done[1]);
    set[LISTENERS] = (struct pollfd){done[0], POLLIN, 0};
    for (int bad = 0; poll(set, LISTENERS + 1, -1) > 0;) {
        if (set[LISTENERS].revents != 0) {
            if (read(done[0], &bad, sizeof bad) != sizeof bad) return 1;
            printf("%d clients were not served\n", bad);
            return 0;
        }
        for (int i = 0; i < LISTENERS; i++) {
            if (set[i].revents == 0) continue;
            char words[64];
            int fd = accept(set[i].fd, NULL, NULL);
            if (fd < 0) continue;
            int size = all(fd, words, sizeof words);
            if (write(fd, words, (size_t)size) != size) bad++;
            close(fd);
        }
    }
    return 1;
}
