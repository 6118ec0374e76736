/* Every function that writes to a FILE or a descriptor with a format, narrow and wide, each into a
 * full pipe of its own that another thread empties later; also those that write to stdout and
 * stderr.
 *
 * PARITY: switches=100 threads=40 */
#undef __NO_INLINE__
#define __NO_INLINE__ /* libc's functions, not what its headers put in their place */
#include "parity.h"

#include <err.h>
#include <error.h>
#include <wchar.h>

#define FORWARD(name, function, first_type)                   \
    static int name(first_type to, const char* format, ...) { \
        va_list list;                                         \
        va_start(list, format);                               \
        int n = function(to, format, list);                   \
        va_end(list);                                         \
        return n;                                             \
    }
FORWARD(call_vfprintf, vfprintf, FILE*)
FORWARD(call_vdprintf, vdprintf, int)

static int call_vprintf(const char* format, ...) {
    va_list list;
    va_start(list, format);
    int n = vprintf(format, list);
    va_end(list);
    return n;
}
static int call_vfwprintf(FILE* f, const wchar_t* format, ...) {
    va_list list;
    va_start(list, format);
    int n = vfwprintf(f, format, list);
    va_end(list);
    return n;
}
static int call_vwprintf(const wchar_t* format, ...) {
    va_list list;
    va_start(list, format);
    int n = vwprintf(format, list);
    va_end(list);
    return n;
}

static void call_psiginfo(void) {
    siginfo_t info;
    memset(&info, 0, sizeof info);
    info.si_signo = SIGALRM;
    info.si_code = SI_USER;
    psiginfo(&info, "psiginfo says");
}

/* Each leaves no more than a page. */
#define WRITERS(X)                                                                                 \
    X(fputc, fputc('1', f))                                                                        \
    X(fputc_unlocked, fputc_unlocked('2', f))                                                      \
    X(putc, (putc)('3', f))                                                                        \
    X(putc_unlocked, (putc_unlocked)('4', f))                                                      \
    X(putchar, (putchar)('5'))                                                                     \
    X(putchar_unlocked, (putchar_unlocked)('6'))                                                   \
    X(putw, putw(0x64636261, f))                                                                   \
    X(fputs, fputs("fputs", f))                                                                    \
    X(fputs_unlocked, fputs_unlocked("fputs_unlocked", f))                                         \
    X(puts, puts("puts"))                                                                          \
    X(fwrite, fwrite("fwrite", 1, 6, f))                                                           \
    X(fwrite_unlocked, (fwrite_unlocked)("fwrite_u", 1, 8, f))                                     \
    X(fprintf, fprintf(f, "fprintf %d", 1))                                                        \
    X(printf, printf("printf %s", "x"))                                                            \
    X(vfprintf, call_vfprintf(f, "vfprintf %s", "x"))                                              \
    X(vprintf, call_vprintf("vprintf %s", "x"))                                                    \
    X(dprintf, dprintf(fd, "dprintf %s", "x"))                                                     \
    X(vdprintf, call_vdprintf(fd, "vdprintf %s", "x"))                                             \
    X(fputwc, fputwc(L'a', f))                                                                     \
    X(fputwc_unlocked, fputwc_unlocked(L'b', f))                                                   \
    X(putwc, (putwc)(L'c', f))                                                                     \
    X(putwc_unlocked, (putwc_unlocked)(L'd', f))                                                   \
    X(putwchar, (putwchar)(L'e'))                                                                  \
    X(putwchar_unlocked, (putwchar_unlocked)(L'f'))                                                \
    X(fputws, fputws(L"fputws", f))                                                                \
    X(fputws_unlocked, fputws_unlocked(L"fputws_unlocked", f))                                     \
    X(fwprintf, fwprintf(f, L"fwprintf %d", 1))                                                    \
    X(wprintf, wprintf(L"wprintf %d", 1))                                                          \
    X(vfwprintf, call_vfwprintf(f, L"vfwprintf %d", 1))                                            \
    X(vwprintf, call_vwprintf(L"vwprintf %d", 1))                                                  \
    X(fflush, (setvbuf(f, NULL, _IOFBF, 100), fputs("kept", f), fflush(f)))                        \
    X(fflush_unlocked, (setvbuf(f, NULL, _IOFBF, 100), fputs("kept, too", f), fflush_unlocked(f))) \
    X(perror, (errno = ENOENT, perror("perror says")))                                             \
    X(psignal, psignal(SIGTERM, "psignal says"))                                                   \
    X(psiginfo, call_psiginfo())                                                                   \
    X(warn, (errno = EPERM, warn("warn %d", 1)))                                                   \
    X(warnx, warnx("warnx %d", 1))                                                                 \
    X(error, error(0, EBUSY, "error %d", 1))                                                       \
    X(error_at_line, error_at_line(0, 0, "file", 7, "error_at_line %d", 1))

#define DEFINE(name, call)                      \
    static void write_##name(FILE* f, int fd) { \
        call;                                   \
        (void)f, (void)fd;                      \
    }
WRITERS(DEFINE)

static const struct {
    const char* name;
    void (*write)(FILE*, int);
} writers[] = {
#define ROW(name, call) {#name, write_##name},
    WRITERS(ROW)};

static size_t full;
static char tail[4096];

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
    size_t n = read_all(fd, tail, sizeof tail - 1);
    tail[n] = 0;
    return NULL;
}

int main(void) {
    start_ticking();
    FILE *out = stdout, *errors = stderr;
    int kept = dup(STDERR_FILENO);
    for (size_t i = 0; i < sizeof writers / sizeof *writers; i++) {
        int ends[2];
        SAME(pipe(ends), 0);
        full = fill_up(ends[1]);
        SAME(dup2(ends[1], STDERR_FILENO), STDERR_FILENO);
        FILE* f = fdopen(ends[1], "w");
        CHECK(f != NULL);
        SAME(setvbuf(f, NULL, _IONBF, 0), 0);
        int raw = strstr(writers[i].name, "perror") || strstr(writers[i].name, "psig");
        stdout = f;
        if (!raw) stderr = f;
        pthread_t reader = start(drain, (void*)(intptr_t)ends[0]);
        writers[i].write(f, ends[1]);
        stdout = out;
        stderr = errors;
        SAME(fclose(f), 0);
        SAME(dup2(kept, STDERR_FILENO), STDERR_FILENO);
        join(reader);
        SAME(close(ends[0]), 0);
        char* end = tail + strlen(tail);
        if (end > tail && end[-1] == '\n') end[-1] = 0;
        char* shown = strstr(tail, ": warn") ? strstr(tail, ": warn") : tail; /* without the name */
        say("%s: %s", writers[i].name, shown);
    }
    stop_ticking();
    return 0;
}
