/* One thread only: the same calls, and children that have one thread too. Nothing is to be seen of
 * a library in between: descriptor numbers are the lowest free ones, the process has one task, its
 * children's output and statuses are as ever.
 *
 * PARITY: dormant=1 */
#include "parity.h"

#include <dirent.h>

static int entries_of(const char* path) {
    DIR* folder = opendir(path);
    CHECK(folder != NULL);
    int count = 0;
    for (struct dirent* entry; (entry = readdir(folder)) != NULL;) count += entry->d_name[0] != '.';
    SAME(closedir(folder), 0);
    return count;
}

int main(void) {
    int lowest = dup(0), pair[2], ends[2], status;
    SAME(close(lowest), 0);
    SAME(entries_of("/proc/self/task"), 1);
    say("%d descriptors open, the next is %d", entries_of("/proc/self/fd") - 1, lowest);
    char data[64] = "";
    tcp_pair(pair);
    say("numbers: %d %d", pair[0] - lowest, pair[1] - lowest);
    SAME(send(pair[0], "hello", 5, 0), 5);
    SAME(recv(pair[1], data, 5, MSG_WAITALL), 5);
    struct timeval wait = timeval_ms(30);
    SAME(setsockopt(pair[1], SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait), 0);
    FAILS(recv(pair[1], data, 5, 0), EAGAIN);
    struct pollfd one = {pair[1], POLLIN, 0};
    SAME(poll(&one, 1, 10), 0);
    SAME(select(0, NULL, NULL, NULL, &wait), 0);
    SAME(usleep(1000), 0);
    SAME(sleep(0), 0);
    SAME(pipe(ends), 0);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        usleep(20000);
        SAME(write(ends[1], "from the child", 14), 14);
        exit(3);
    }
    SAME(read(ends[0], data, sizeof data), 14);
    say("%s", data);
    SAME(waitpid(child, &status, 0), child);
    SAME(WEXITSTATUS(status), 3);
    SAME(WEXITSTATUS(system("exit 5")), 5);
    FILE* stream = popen("echo one; echo two", "r");
    while (fgets(data, sizeof data, stream) != NULL) printf("popen: %s", data);
    SAME(pclose(stream), 0);
    SAME(entries_of("/proc/self/task"), 1);
    alarm(100);
    SAME(alarm(0), 100);
    say("done");
    return 0;
}
