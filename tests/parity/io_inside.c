/* Calls of libc that wait in others: record locks by lockf and lckpwdf, sigpause, wordexp's and
 * forkpty's children, events by eventfd_read and eventfd_write, __open_2 on a FIFO, rexec and rcmd
 * to a server that is a thread of this program.
 *
 * PARITY: switches=50 threads=10 kernel_threads=17 */
#include "parity.h"

#include <netdb.h>
#include <pty.h>
#include <shadow.h>
#include <sys/eventfd.h>
#include <wordexp.h>

/* Old functions are wanted here. */
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

int __open_2(const char*, int);
int __open64_2(const char*, int);
int __openat_2(int, const char*, int);
int __openat64_2(int, const char*, int);
int __sched_yield(void);
int ruserpass(const char*, const char**, const char**);
__asm__(".symver old_sigpause, __sigpause@GLIBC_2.2.5");
int old_sigpause(int number, int is_signal);

/* ---- record locks: a child holds one ----------------------------------------------------------
 */

static long waiting;

static void* take_lock(void* argument) {
    int fd = open("locked", O_RDWR);
    CHECK(fd >= 0);
    add_to(&waiting, 1);
    SAME(argument != NULL ? lockf64(fd, F_LOCK, 1) : lockf(fd, F_LOCK, 1), 0);
    SAME(lockf(fd, F_TEST, 1), 0);
    SAME(lockf(fd, F_ULOCK, 1), 0);
    SAME(close(fd), 0);
    return NULL;
}

static void locks(void) {
    for (int round = 0; round < 2; round++) {
        int go[2], held[2];
        char c;
        SAME(pipe(go), 0);
        SAME(pipe(held), 0);
        int fd = open("locked", O_RDWR | O_CREAT, 0600);
        CHECK(fd >= 0);
        pid_t child = fork();
        if (child == 0) {
            close(go[1]);
            CHECK(lockf(fd, F_LOCK, 1) == 0 && write(held[1], "", 1) == 1);
            _exit(read(go[0], &c, 1) == 1 ? 0 : 1);
        }
        SAME(read(held[0], &c, 1), 1);
        FAILS(lockf(fd, F_TLOCK, 1), EAGAIN);
        FAILS(lockf64(fd, F_TEST, 1), EACCES);
        set_to(&waiting, 0);
        pthread_t thread = start(take_lock, round == 0 ? NULL : &fd);
        wait_for(&waiting, 1);
        wait_ticks(3);
        SAME(write(go[1], "", 1), 1);
        join(thread);
        SAME(waitpid(child, NULL, 0), child);
        for (int i = 0; i < 2; i++) close(go[i]), close(held[i]);
        SAME(close(fd), 0);
    }
    SAME(unlink("locked"), 0);
    FAILS(lockf(hidden(-1), F_LOCK, 1), EBADF);
    errno = 0;
    int result = lckpwdf(); /* root only */
    say("locks, lckpwdf %d %s, ulckpwdf %d", result, parity_errno_name(errno), ulckpwdf());
}

/* ---- signals -----------------------------------------------------------------------------------
 */

static void on_signal(int number) { (void)number; }
static pthread_t main_thread;
static void* interrupt(void* argument) {
    wait_ticks(3);
    SAME(pthread_kill(main_thread, SIGUSR1), 0);
    return argument;
}

static void signals(void) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    SAME(sigaction(SIGUSR1, &action, NULL), 0);
    main_thread = pthread_self();
    for (int i = 0; i < 2; i++) {
        sigset_t set;
        sigemptyset(&set);
        sigaddset(&set, SIGUSR1);
        SAME(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
        pthread_t thread = start(interrupt, NULL);
        if (i == 0) FAILS(sigpause(SIGUSR1), EINTR);  /* the signal is let in */
        if (i == 1) FAILS(old_sigpause(0, 0), EINTR); /* a mask of none */
        join(thread);
        SAME(pthread_sigmask(SIG_UNBLOCK, &set, NULL), 0);
    }
    FAILS(sigpause(hidden(1000)), EINVAL);
    for (int i = 0; i < 5; i++) SAME(__sched_yield(), 0);
    say("signals");
}

/* ---- children ----------------------------------------------------------------------------------
 */

static void children(void) {
    wordexp_t words;
    long before = ticks();
    SAME(wordexp("a$(sleep 0.1; echo b c) ~root", &words, 0), 0);
    CHECK(ticks() > before);
    say("wordexp %zu %s %s", words.we_wordc, words.we_wordv[0], words.we_wordv[1]);
    wordfree(&words);
    SAME(wordexp("(", &words, 0), WRDE_BADCHAR);
    int terminal, status = 0;
    pid_t child = forkpty(&terminal, NULL, NULL, NULL);
    CHECK(child >= 0);
    if (child == 0) {
        usleep(50000);
        char line[] = "from the terminal\n";
        _exit(write(STDOUT_FILENO, line, sizeof line - 1) > 0 ? 3 : 4);
    }
    char text[64];
    ssize_t n = read(terminal, text, sizeof text - 1);
    CHECK(n > 0);
    text[strcspn(text, "\r\n")] = 0;
    SAME(waitpid(child, &status, 0), child);
    SAME(close(terminal), 0);
    say("forkpty %s, %d", text, WEXITSTATUS(status));
}

/* ---- descriptors -------------------------------------------------------------------------------
 */

static int events;
static void* raise_event(void* argument) {
    wait_ticks(3);
    SAME(eventfd_write(events, 7), 0);
    return argument;
}
static void* lower_event(void* argument) {
    eventfd_t value;
    wait_ticks(3);
    SAME(eventfd_read(events, &value), 0);
    return argument;
}
static void* open_writer(void* argument) {
    wait_ticks(3);
    int fd = __open_2("fifo", O_WRONLY);
    CHECK(fd >= 0);
    SAME(close(fd), 0);
    return argument;
}

static void descriptors(void) {
    eventfd_t value = 0;
    events = eventfd(0, 0);
    pthread_t thread = start(raise_event, NULL);
    SAME(eventfd_read(events, &value), 0);
    SAME(value, 7);
    join(thread);
    SAME(eventfd_write(events, (eventfd_t)-2), 0);
    thread = start(lower_event, NULL);
    SAME(eventfd_write(events, 1), 0); /* full until then */
    join(thread);
    SAME(close(events), 0);
    FAILS(eventfd_read(events, &value), EBADF);
    FAILS(eventfd_write(events, 1), EBADF);
    SAME(mkfifo("fifo", 0600), 0);
    for (int i = 0; i < 4; i++) {
        thread = start(open_writer, NULL);
        int fd = i == 0   ? __open_2("fifo", O_RDONLY)
                 : i == 1 ? __open64_2("fifo", O_RDONLY)
                 : i == 2 ? __openat_2(AT_FDCWD, "fifo", O_RDONLY)
                          : __openat64_2(AT_FDCWD, "fifo", O_RDONLY);
        CHECK(fd >= 0);
        join(thread);
        SAME(close(fd), 0);
    }
    SAME(unlink("fifo"), 0);
    say("descriptors");
}

/* ---- remote shells -----------------------------------------------------------------------------
 */

/* Takes what they send (three words and more, each ended by a zero), and lets them in. */
static void* serve(void* argument) {
    int words = 4, fd = accept(*(int*)argument, NULL, NULL);
    CHECK(fd >= 0);
    char c;
    while (words > 0 && read(fd, &c, 1) == 1) words -= c == 0;
    wait_ticks(3);
    SAME(words, 0);
    SAME(write(fd, "\0welcome", 8), 8);
    SAME(close(fd), 0);
    return NULL;
}

static void welcome(const char* title, int fd) {
    char text[16] = "";
    if (fd >= 0) {
        SAME(read_all(fd, text, 7), 7);
        SAME(close(fd), 0);
    }
    say("%s %s", title, fd >= 0 ? text : "refused");
}

static void remote(void) {
    int listener = tcp_listen(4);
    for (int i = 0; i < 4; i++) {
        int port = htons((uint16_t)port_of(listener)), as_root = geteuid() == 0;
        if (i >= 2 && !as_root) { /* a port that only root can have */
            say("not root");
            continue;
        }
        char name[] = "127.0.0.1", *host = name;
        pthread_t thread = start(serve, &listener);
        int fd = i == 0   ? rexec(&host, port, "user", "word", "command", NULL)
                 : i == 1 ? rexec_af(&host, port, "user", "word", "command", NULL, AF_INET)
                 : i == 2
                     ? rcmd(&host, (unsigned short)port, "me", "you", "command", NULL)
                     : rcmd_af(&host, (unsigned short)port, "me", "you", "command", NULL, AF_INET);
        static const char* const titles[] = {"rexec", "rexec_af", "rcmd", "rcmd_af"};
        welcome(titles[i], fd);
        join(thread);
    }
    SAME(close(listener), 0);
    const char *who = "me", *word = "word";
    say("ruserpass %d %s", ruserpass("127.0.0.1", &who, &word), who);
    say("ruserok %d %d %d %d", ruserok("127.0.0.1", 0, "a", "b"),
        ruserok_af("127.0.0.1", 0, "a", "b", AF_INET), iruserok(htonl(0x7f000001), 0, "a", "b"),
        iruserok_af(&(uint32_t){htonl(0x7f000001)}, 0, "a", "b", AF_INET));
}

int main(void) {
    start_ticking();
    locks();
    signals();
    children();
    descriptors();
    remote();
    stop_ticking();
    return 0;
}
