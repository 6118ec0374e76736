/* A process has one identity: what one thread changes with the set*id calls holds for every other,
 * including one that waits meanwhile, for what is opened and for new threads. Root is given up for
 * good, so that this happens in a forked child; without root there is nothing to give up.
 *
 * PARITY: switches=1 threads=1
 */
#include "thread.h"

#include <fcntl.h>
#include <grp.h>
#include <sys/stat.h>

static sem_t asked, answered;
static int leave;

static void say_identity(const char* who) {
    uid_t user[3];
    gid_t group[3];
    CHECK(getresuid(&user[0], &user[1], &user[2]) == 0);
    CHECK(getresgid(&group[0], &group[1], &group[2]) == 0);
    printf("%s: user %d %d %d, group %d %d %d, groups %d\n", who, (int)user[0], (int)user[1],
           (int)user[2], (int)group[0], (int)group[1], (int)group[2], getgroups(0, NULL));
}

/* Is there before any change; says who it is whenever asked. */
static void* older_thread(void* arg) {
    for (;;) {
        CHECK(sem_wait(&asked) == 0);
        if (leave) return arg;
        say_identity("  older thread");
        int fd = open("secret", O_RDONLY);
        printf("  the secret: %s\n", result_name(fd < 0 ? -1 : 0));
        if (fd >= 0) close(fd);
        CHECK(sem_post(&answered) == 0);
    }
}

static void* newer_thread(void* arg) {
    say_identity("  newer thread");
    return arg;
}

static void show_all(void) {
    CHECK(sem_post(&asked) == 0);
    CHECK(sem_wait(&answered) == 0);
    finish(spawn(newer_thread, NULL));
}

static void* change(void* arg) {
    const gid_t groups[] = {1001, 1002};
    show_all();
    SHOW(setgroups(2, groups));
    SHOW(setegid(1001));
    SHOW(seteuid(1001));
    show_all();
    SHOW(seteuid(0));
    SHOW(setegid(0));
    SHOW(setregid(1002, 1003));
    SHOW(setresgid(1004, 1005, 1006));
    SHOW(setgid(1007));
    SHOW(setgroups(0, NULL));
    SHOW(setreuid(0, 1002));
    show_all();
    SHOW(setreuid(0, 0));
    SHOW(setresuid(1003, 0, 1004));
    show_all();
    SHOW(setuid(1005));
    show_all();
    SHOW(setuid(0));
    SHOW(seteuid(0));
    SHOW(setgid(0));
    SHOW(setgroups(0, NULL));
    show_all();
    return arg;
}

static int as_root(void) {
    CHECK(sem_init(&asked, 0, 0) == 0 && sem_init(&answered, 0, 0) == 0);
    int fd = open("secret", O_WRONLY | O_CREAT, 0600);
    CHECK(fd >= 0 && fchmod(fd, 0600) == 0 && close(fd) == 0);
    pthread_t older = spawn(older_thread, NULL);
    finish(spawn(change, NULL));
    say_identity("main");
    leave = 1;
    CHECK(sem_post(&asked) == 0);
    finish(older);
    fflush(stdout);
    return 0;
}

static void* nothing(void* arg) { return arg; }

int main(void) {
    if (geteuid() == 0) {
        fflush(stdout);
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) _exit(as_root());
        printf("status %d\n", child_status(child));
    } else {
        puts("not root: nothing to give up");
    }
    finish(spawn(nothing, NULL));
    return 0;
}
