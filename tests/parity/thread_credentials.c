/* What the kernel keeps for each thread, and libc does not make the process's: the file system ids
 * (setfsuid, setfsgid), ids and groups set by plain system calls, and with them capabilities; after
 * unshare(CLONE_FS) the working directory and the umask too. Servers of files act for a client that
 * way, in one thread, while others go on as they are. Without root the last two are shown.
 *
 * PARITY: switches=1 threads=1
 */
#include "thread.h"

#include <linux/capability.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static pthread_barrier_t step;

static unsigned effective(void) {
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2];
    syscall(SYS_capget, &header, data);
    return data[0].effective != 0;
}

static void tell(const char* who) {
    char directory[256];
    mode_t mask = umask(0);
    umask(mask);
    printf("%s: fsuid %d, fsgid %d, euid %d, groups %d, capable %u, in %s, umask %03o\n", who,
           setfsuid(-1), setfsgid(-1), (int)syscall(SYS_geteuid),
           (int)syscall(SYS_getgroups, 0, NULL), effective(),
           getcwd(directory, sizeof directory) ? directory : "?", mask);
}

static void* client(void* unused) {
    gid_t groups[3] = {1001, 1002, 1003};
    pthread_barrier_wait(&step);
    if (unshare(CLONE_FS) != 0 || chdir("/usr") != 0) perror("unshare");
    umask(077);
    if (geteuid() == 0) {
        syscall(SYS_setgroups, 3, groups);
        setfsgid(1001);
        setfsuid(1001);
        tell("client");
        pthread_barrier_wait(&step);
        pthread_barrier_wait(&step);
        syscall(SYS_setresuid, -1, 1002, -1);
    } else {
        pthread_barrier_wait(&step);
        pthread_barrier_wait(&step);
    }
    tell("client");
    pthread_barrier_wait(&step);
    pthread_barrier_wait(&step);
    return unused;
}

int main(void) {
    pthread_t thread;
    if (chdir("/") != 0) return 1;
    if (geteuid() == 0) syscall(SYS_setgroups, 0, NULL);
    umask(022);
    pthread_barrier_init(&step, NULL, 2);
    pthread_create(&thread, NULL, client, NULL);
    tell("main");
    for (int i = 0; i < 2; ++i) {
        pthread_barrier_wait(&step);
        pthread_barrier_wait(&step);
        tell("main");
    }
    pthread_barrier_wait(&step);
    pthread_join(thread, NULL);
    tell("main");
}
