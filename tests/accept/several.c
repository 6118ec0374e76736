/* Several listeners in one poll(2), select(2) or epoll_wait(2), and whatever is said to be ready is
 * accepted from. The clients are children; each must be given its own words back. Prints how many
 * were not, and ends.
 *
 *     several LISTENERS poll|select|epoll */
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST = 100, CLIENTS = 100 };

static int count, listeners[MOST];
static struct sockaddr_in addresses[MOST];

static int all(int fd, char* to, int room) {
    int size = 0;
    for (ssize_t n; size < room && (n = read(fd, to + size, (size_t)(room - size))) > 0;)
        size += (int)n;
    return size;
}

static int client(int number) {
    struct sockaddr_in* address = &addresses[number % count];
    char words[32], answer[64];
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(fd, (struct sockaddr*)address, sizeof *address) != 0) return 2;
    int size = snprintf(words, sizeof words, "client %d", number);
    usleep(number % 3 ? 50000 : 1000);
    if (write(fd, words, (size_t)size) != size || shutdown(fd, SHUT_WR) != 0) return 3;
    return all(fd, answer, sizeof answer) != size || memcmp(words, answer, (size_t)size) != 0;
}

static void clients(int done) {
    int bad = 0, status;
    for (int i = 0; i < CLIENTS; i++)
        if (fork() == 0) _exit(client(i));
    while (wait(&status) > 0) bad += status != 0;
    if (write(done, &bad, sizeof bad) < 0) bad = 1;
    _exit(bad != 0);
}

static void accept_and_serve(int listener) {
    char words[64];
    int fd = accept(listener, NULL, NULL);
    if (fd < 0) return;
    int size = all(fd, words, sizeof words);
    if (write(fd, words, (size_t)size) != size) perror("write");
    close(fd);
}

static void end(int done) {
    int bad;
    if (read(done, &bad, sizeof bad) != sizeof bad) exit(1);
    printf("%d clients were not served\n", bad);
    exit(0);
}

static int wait_by_poll(int done) {
    struct pollfd set[MOST + 1];
    for (int i = 0; i < count; i++) set[i] = (struct pollfd){listeners[i], POLLIN, 0};
    set[count] = (struct pollfd){done, POLLIN, 0};
    while (poll(set, (nfds_t)count + 1, -1) > 0) {
        if (set[count].revents != 0) end(done);
        for (int i = 0; i < count; i++)
            if (set[i].revents != 0) accept_and_serve(listeners[i]);
    }
    return 1;
}

static int wait_by_select(int done) {
    fd_set wanted, set;
    FD_ZERO(&wanted);
    FD_SET(done, &wanted);
    for (int i = 0; i < count; i++) FD_SET(listeners[i], &wanted);
    while (set = wanted, select(FD_SETSIZE, &set, NULL, NULL, NULL) > 0) {
        if (FD_ISSET(done, &set)) end(done);
        for (int i = 0; i < count; i++)
            if (FD_ISSET(listeners[i], &set)) accept_and_serve(listeners[i]);
    }
    return 1;
}

static int wait_by_epoll(int done) {
    struct epoll_event events[16], event = {.events = EPOLLIN};
    int set = epoll_create1(0);
    for (int i = 0; i <= count; i++) {
        event.data.fd = i < count ? listeners[i] : done;
        epoll_ctl(set, EPOLL_CTL_ADD, event.data.fd, &event);
    }
    for (int n; (n = epoll_wait(set, events, 16, -1)) > 0;) {
        for (int i = 0; i < n; i++) {
            if (events[i].data.fd == done) end(done);
            accept_and_serve(events[i].data.fd);
        }
    }
    return 1;
}

int main(int argc, char** argv) {
    int done[2];
    if (argc != 3) return 2;
    count = atoi(argv[1]);
    for (int i = 0; i < count; i++) {
        socklen_t size = sizeof addresses[i];
        addresses[i].sin_family = AF_INET;
        addresses[i].sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        listeners[i] = socket(AF_INET, SOCK_STREAM, 0);
        if (bind(listeners[i], (struct sockaddr*)&addresses[i], size) != 0) return 1;
        getsockname(listeners[i], (struct sockaddr*)&addresses[i], &size);
        listen(listeners[i], CLIENTS);
    }
    if (pipe(done) != 0) return 1;
    if (fork() == 0) clients(done[1]);
    if (argv[2][0] == 'p') return wait_by_poll(done[0]);
    return argv[2][0] == 's' ? wait_by_select(done[0]) : wait_by_epoll(done[0]);
}
