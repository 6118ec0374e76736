/* pututline(3) waits for the lock that another process has on the file; the rest goes on.
 *
 * PARITY: switches=2 threads=1 */
#include "parity.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <utmp.h>

static const char* const path = "utmp";

int main(void) {
    int fd = open(path, O_CREAT | O_RDWR, 0600);
    CHECK(fd >= 0);
    int locked[2];
    SAME(pipe(locked), 0);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        struct flock lock = {.l_type = F_WRLCK};
        if (fcntl(fd, F_SETLKW, &lock) != 0 || write(locked[1], "x", 1) != 1) _exit(1);
        usleep(200000);
        _exit(0);
    }
    start_ticking();
    char c;
    SAME(read(locked[0], &c, 1), 1);
    wait_ticks(2);
    SAME(utmpname(path), 0);
    setutent();
    struct utmp entry = {.ut_type = USER_PROCESS, .ut_id = "1", .ut_user = "somebody"};
    CHECK(pututline(&entry) != NULL);
    endutent();
    SAME(lseek(fd, 0, SEEK_END), sizeof entry);
    int status = -1;
    SAME(waitpid(child, &status, 0), child);
    SAME(status, 0);
    return 0;
}
