/* The first thread is made when the program has used up what it may have (getrlimit(2)): every
 * descriptor below its soft limit, every pending signal. Threads wait for each other nevertheless,
 * also by spinning, and the next number is the one that is freed.
 *
 * PARITY: switches=4 threads=2 */
#include "parity.h"

#include <sys/resource.h>

static volatile int flag;

static void* spin(void* argument) {
    while (!flag) {
    }
    return argument;
}

static void* set_flag(void* argument) {
    usleep(20000);
    flag = 1;
    return argument;
}

static void soft_limit(__rlimit_resource_t resource, rlim_t most) {
    struct rlimit limit;
    SAME(getrlimit(resource, &limit), 0);
    limit.rlim_cur = most < limit.rlim_max ? most : limit.rlim_max;
    SAME(setrlimit(resource, &limit), 0);
}

int main(void) {
    soft_limit(RLIMIT_NOFILE, 20);
    soft_limit(RLIMIT_SIGPENDING, 0);
    int count = 3, fd;
    for (; (fd = open("/dev/null", O_RDONLY)) >= 0; count++) SAME(fd, count);
    SAME(errno, EMFILE);
    SAME(count, 20);
    pthread_t spinner = start(spin, NULL), setter = start(set_flag, NULL);
    join(spinner);
    join(setter);
    say("joined");
    SAME(open("/dev/null", O_RDONLY), -1);
    SAME(close(7), 0);
    SAME(open("/dev/null", O_RDONLY), 7);
    struct rlimit limit;
    SAME(getrlimit(RLIMIT_NOFILE, &limit), 0);
    SAME(limit.rlim_cur, 20);
    return 0;
}
