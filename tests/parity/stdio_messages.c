/* Messages that libc writes by itself, into a full pipe which another thread empties later: err and
 * its kin (in children, which they end), getopt's and argp's complaints, fmtmsg, malloc's reports,
 * backtraces, the system log with LOG_PERROR; and getpass, which asks for a line.
 *
 * PARITY: switches=50 threads=20 */
#undef __NO_INLINE__  /* compilers that do not optimise define it themselves */
#define __NO_INLINE__ /* argp_usage, the function */
#include "parity.h"

#include <argp.h>
#include <err.h>
#include <error.h>
#include <execinfo.h>
#include <fmtmsg.h>
#include <getopt.h>
#include <malloc.h>
#include <syslog.h>

/* ---- those that end the process: a child each, whose stderr is a pipe to us --------------------
 */

static void call_verr(const char* format, ...) {
    va_list list;
    va_start(list, format);
    errno = ENOENT;
    verr(4, format, list);
}
static void call_verrx(const char* format, ...) {
    va_list list;
    va_start(list, format);
    verrx(5, format, list);
}
static error_t parse(int key, char* argument, struct argp_state* state) {
    (void)argument;
    if (key != ARGP_KEY_ARG) return ARGP_ERR_UNKNOWN;
    if (strcmp(argument, "failure") == 0) argp_failure(state, 7, ENOENT, "it %s", "failed");
    if (strcmp(argument, "usage") == 0) argp_usage(state);
    if (strcmp(argument, "help") == 0) argp_state_help(state, stderr, ARGP_HELP_STD_ERR);
    argp_error(state, "wrong: %s", argument);
    return 0;
}
static const struct argp argp = {NULL, parse, "WORD", "a program", NULL, NULL, NULL};
static void call_argp(const char* word) {
    char name[] = "program", text[16];
    snprintf(text, sizeof text, "%s", word);
    char* words[] = {name, text, NULL};
    argp_parse(&argp, 2, words, 0, NULL, NULL);
    _exit(50);
}

static void end(int kind) {
    switch (kind) {
        case 0:
            errno = EACCES;
            err(1, "err %d", kind);
            break;
        case 1:
            errx(2, "errx %d", kind);
            break;
        case 2:
            call_verr("verr %d", kind);
            break;
        case 3:
            call_verrx("verrx %d", kind);
            break;
        case 4:
            error(6, EBUSY, "error %d", kind);
            break;
        case 5:
            call_argp("what");
            break;
        case 6:
            call_argp("failure");
            break;
        case 7:
            call_argp("usage");
            break;
        case 8:
            call_argp("help");
            break;
        default:
            error_at_line(8, 0, "file", 9, "line");
            break;
    }
    _exit(60);
}

static char tail[1 << 16];
static size_t full;

/* Empties the pipe, keeping what came after the filling. */
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

static void ending(void) {
    for (int kind = 0; kind < 10; kind++) {
        int ends[2], status = 0;
        SAME(pipe(ends), 0);
        full = fill_up(ends[1]);
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            SAME(dup2(ends[1], STDERR_FILENO), STDERR_FILENO);
            close(ends[0]);
            close(ends[1]);
            end(kind);
        }
        SAME(close(ends[1]), 0);
        pthread_t reader = start(drain, (void*)(intptr_t)ends[0]);
        SAME(waitpid(child, &status, 0), child);
        join(reader);
        SAME(close(ends[0]), 0);
        say("%d: status %d, %s", kind, WEXITSTATUS(status), tail);
    }
}

/* ---- those that return ------------------------------------------------------------------------
 */

static void call_vwarn(const char* format, ...) {
    va_list list;
    va_start(list, format);
    errno = EIO;
    vwarn(format, list);
    va_end(list);
}
static void call_vwarnx(const char* format, ...) {
    va_list list;
    va_start(list, format);
    vwarnx(format, list);
    va_end(list);
}
static void call_vsyslog(const char* format, ...) {
    va_list list;
    va_start(list, format);
    vsyslog(LOG_DEBUG, format, list);
    va_end(list);
}

static char word[] = "program", wrong[] = "-x", longer[] = "--nothing";
static void complain(int kind) {
    char *words[] = {word, wrong, NULL}, *long_words[] = {word, longer, NULL};
    static const struct option none[] = {{NULL, 0, NULL, 0}};
    void* addresses[8];
    optind = 0;
    switch (kind) {
        case 0:
            SAME(getopt(2, words, "a"), '?');
            break;
        case 1:
            SAME(getopt_long(2, long_words, "a", none, NULL), '?');
            break;
        case 2:
            SAME(getopt_long_only(2, long_words, "a", none, NULL), '?');
            break;
        case 3:
            SAME(fmtmsg(MM_PRINT, "libc:parity", MM_ERROR, "text", "act", "tag"), MM_OK);
            break;
        case 4:
            backtrace_symbols_fd(addresses, backtrace(addresses, 8), STDERR_FILENO);
            break;
        case 5:
            malloc_stats();
            break;
        case 6:
            SAME(malloc_info(0, stderr), 0);
            break;
        case 7:
            argp_help(&argp, stderr, ARGP_HELP_SEE, word);
            break;
        case 8:
            call_vwarn("vwarn %d", kind);
            break;
        case 9:
            call_vwarnx("vwarnx %d", kind);
            break;
        case 10:
            openlog("parity", LOG_PERROR, LOG_USER);
            syslog(LOG_DEBUG, "syslog %d", kind);
            break;
        default:
            call_vsyslog("vsyslog %d", kind);
            closelog();
    }
}

static void returning(void) {
    int kept = dup(STDERR_FILENO);
    program_invocation_name = program_invocation_short_name = word;
    for (int kind = 0; kind < 12; kind++) {
        int ends[2];
        SAME(pipe(ends), 0);
        full = fill_up(ends[1]);
        SAME(dup2(ends[1], STDERR_FILENO), STDERR_FILENO);
        SAME(close(ends[1]), 0);
        pthread_t reader = start(drain, (void*)(intptr_t)ends[0]);
        complain(kind);
        SAME(dup2(kept, STDERR_FILENO), STDERR_FILENO);
        join(reader);
        SAME(close(ends[0]), 0);
        CHECK(strlen(tail) > 0); /* addresses and sizes differ from run to run */
        say("%d: %s", kind, kind >= 4 && kind <= 6 ? "a report" : tail);
    }
    SAME(close(kept), 0);
}

/* ---- a line from the terminal, or from stdin where there is none -------------------------------
 */

static int line[2];
static void* type_in(void* argument) {
    wait_ticks(5);
    write_all(line[1], "secret\n", 7);
    return argument;
}

int main(void) {
    start_ticking();
    ending();
    returning();
    SAME(pipe(line), 0);
    SAME(dup2(line[0], STDIN_FILENO), STDIN_FILENO);
    clearerr(stdin);
    pthread_t thread = start(type_in, NULL);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
    char* answer = getpass("say: ");
#pragma GCC diagnostic pop
    join(thread);
    say("getpass %s", answer != NULL ? answer : "nothing");
    stop_ticking();
    return 0;
}
