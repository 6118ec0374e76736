/* Functions that read or write one entry of a table on a stream: users, groups, shadow entries,
 * mounts, each on a pipe that another thread fills or empties later; and those that open their file
 * themselves.
 *
 * PARITY: switches=50 threads=16 */
#include "parity.h"

#include <fstab.h>
#include <grp.h>
#include <gshadow.h>
#include <mntent.h>
#include <pwd.h>
#include <shadow.h>
#include <ttyent.h>

static const char user_line[] = "who:x:1:2:Who:/home/who:/bin/sh\n";
static const char group_line[] = "them:x:7:who,you\n";
static const char shadow_line[] = "who:!:1:2:3:4:5:6:\n";
static const char secret_line[] = "them:!:who:you\n";
static const char mount_line[] = "device /dir type rw,noatime 1 2\n";

static char room[1024];
static struct passwd user, *u;
static struct group group, *g;
static struct spwd shadow, *s;
static struct sgrp secret, *sg;
static struct mntent mount, *m;

static const char* name_of(const char* name) { return name; }
#define NAME(entry, field) ((entry) != NULL ? name_of((entry)->field) : "none")

#define READERS(X)                                                                            \
    X(fgetpwent, user_line, (u = fgetpwent(f), NAME(u, pw_dir)))                              \
    X(fgetpwent_r, user_line,                                                                 \
      (fgetpwent_r(f, &user, room, sizeof room, &u) == 0 ? NAME(u, pw_shell) : "error"))      \
    X(fgetgrent, group_line, (g = fgetgrent(f), NAME(g, gr_name)))                            \
    X(fgetgrent_r, group_line,                                                                \
      (fgetgrent_r(f, &group, room, sizeof room, &g) == 0 ? NAME(g, gr_mem[1]) : "error"))    \
    X(fgetspent, shadow_line, (s = fgetspent(f), NAME(s, sp_namp)))                           \
    X(fgetspent_r, shadow_line,                                                               \
      (fgetspent_r(f, &shadow, room, sizeof room, &s) == 0 ? NAME(s, sp_pwdp) : "error"))     \
    X(fgetsgent, secret_line, (sg = fgetsgent(f), NAME(sg, sg_namp)))                         \
    X(fgetsgent_r, secret_line,                                                               \
      (fgetsgent_r(f, &secret, room, sizeof room, &sg) == 0 ? NAME(sg, sg_mem[0]) : "error")) \
    X(getmntent, mount_line, (m = getmntent(f), NAME(m, mnt_dir)))                            \
    X(getmntent_r, mount_line, (m = getmntent_r(f, &mount, room, sizeof room), NAME(m, mnt_opts)))

#define DEFINE(name, line, call) \
    static const char* read_##name(FILE* f) { return call; }
READERS(DEFINE)

static const struct {
    const char *name, *line;
    const char* (*read)(FILE*);
} readers[] = {
#define ROW(name, line, call) {#name, line, read_##name},
    READERS(ROW)};

struct feed {
    int fd;
    const char* line;
};
static void* feed(void* argument) {
    struct feed* to = (struct feed*)argument;
    wait_ticks(2);
    write_all(to->fd, to->line, 5);
    wait_ticks(2);
    write_all(to->fd, to->line + 5, strlen(to->line) - 5);
    SAME(close(to->fd), 0);
    return NULL;
}

#define WRITERS(X)                    \
    X(putpwent, putpwent(&user, f))   \
    X(putgrent, putgrent(&group, f))  \
    X(putspent, putspent(&shadow, f)) \
    X(putsgent, putsgent(&secret, f)) \
    X(addmntent, (addmntent(f, &mount), fflush(f)))

#define DEFINE_WRITER(name, call) \
    static int write_##name(FILE* f) { return call; }
WRITERS(DEFINE_WRITER)
static const struct {
    const char* name;
    int (*write)(FILE*);
} writers[] = {
#define WRITER_ROW(name, call) {#name, write_##name},
    WRITERS(WRITER_ROW)};

static size_t full;
static char tail[1024];
static void* drain(void* argument) {
    static char data[1 << 16];
    int fd = (int)(intptr_t)argument;
    wait_ticks(3);
    for (size_t left = full; left > 0;) {
        ssize_t n = read(fd, data, left < sizeof data ? left : sizeof data);
        CHECK(n > 0);
        left -= (size_t)n;
    }
    tail[read_all(fd, tail, sizeof tail - 1)] = 0;
    return NULL;
}

int main(void) {
    start_ticking();
    for (size_t i = 0; i < sizeof readers / sizeof *readers; i++) {
        int ends[2];
        SAME(pipe(ends), 0);
        FILE* f = fdopen(ends[0], "r");
        CHECK(f != NULL);
        struct feed to = {ends[1], readers[i].line};
        pthread_t thread = start(feed, &to);
        say("%s: %s", readers[i].name, readers[i].read(f));
        join(thread);
        SAME(fclose(f), 0);
    }

    char *nobody[] = {NULL}, *you[] = {(char*)"you", NULL};
    user = (struct passwd){(char*)"who", (char*)"x", 1, 2, (char*)"W", (char*)"/", (char*)"/sh"};
    group = (struct group){(char*)"them", (char*)"x", 7, you};
    shadow = (struct spwd){(char*)"who", (char*)"!", 1, 2, 3, 4, 5, 6, (unsigned long)-1};
    secret = (struct sgrp){(char*)"them", (char*)"!", nobody, you};
    mount = (struct mntent){(char*)"dev", (char*)"/d i r", (char*)"t", (char*)"rw", 0, 1};
    for (size_t i = 0; i < sizeof writers / sizeof *writers; i++) {
        int ends[2];
        SAME(pipe(ends), 0);
        full = fill_up(ends[1]);
        FILE* f = fdopen(ends[1], "w");
        CHECK(f != NULL);
        pthread_t thread = start(drain, (void*)(intptr_t)ends[0]);
        /* addmntent seeks to the end first, which a pipe cannot */
        int result = writers[i].write(f);
        SAME(fclose(f), 0);
        join(thread);
        SAME(close(ends[0]), 0);
        say("%s: %d %s", writers[i].name, result, tail);
    }

    FILE* mounts = setmntent("mounts", "w+");
    CHECK(mounts != NULL);
    SAME(addmntent(mounts, &mount), 0);
    rewind(mounts);
    m = getmntent(mounts);
    say("mounts: %s", NAME(m, mnt_dir));
    SAME(endmntent(mounts), 1);
    SAME(unlink("mounts"), 0);
    say("setfsent %d", setfsent());
    struct fstab* entry = getfsent();
    say("getfsent %s", NAME(entry, fs_file));
    entry = getfsspec("none such");
    say("getfsspec %s", NAME(entry, fs_file));
    entry = getfsfile("none such");
    say("getfsfile %s", NAME(entry, fs_file));
    endfsent();
    say("setttyent %d", setttyent());
    say("getttyent %d", getttyent() != NULL);
    say("getttynam %d", getttynam("none such") != NULL);
    say("endttyent %d", endttyent());
    say("ttyslot %d", ttyslot());
    setusershell();
    int shells = 0;
    while (getusershell() != NULL) shells++;
    endusershell();
    say("getusershell %d", shells);

    FILE* dates = fopen("dates", "w");
    CHECK(dates != NULL);
    SAME(fputs("%Y-%m-%d\n", dates) >= 0, 1);
    SAME(fclose(dates), 0);
    SAME(setenv("DATEMSK", "dates", 1), 0);
    struct tm* day = getdate("2001-02-03");
    CHECK(day != NULL);
    struct tm other;
    SAME(getdate_r("1999-12-31", &other), 0);
    say("getdate %d %d", day->tm_year, other.tm_mon);
    SAME(unlink("dates"), 0);
    double loads[3];
    say("getloadavg %d", getloadavg(loads, 3));
    stop_ticking();
    return 0;
}
