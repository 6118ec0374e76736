/* Every function that reads from a FILE, narrow and wide, each on a pipe of its own that another
 * thread fills later: getc to vfwscanf, also those that read stdin.
 *
 * PARITY: switches=100 threads=32 */
#undef __NO_INLINE__
#define __NO_INLINE__ /* libc's functions, not what its headers put in their place */
#include "parity.h"

#include <wchar.h>

static const char text[] = "12 words, then\nthe second line\n";

/* What a reader got, as text. */
static char got[200];

static void note_char(wint_t c) { snprintf(got, sizeof got, "'%c'", (char)c); }
static void note_line(const char* line) { snprintf(got, sizeof got, "%s", line); }
static void note_wide(const wchar_t* line) { CHECK(wcstombs(got, line, sizeof got) < sizeof got); }

static int call_vfscanf(FILE* f, const char* format, ...) {
    va_list list;
    va_start(list, format);
    int n = vfscanf(f, format, list);
    va_end(list);
    return n;
}
static int call_vscanf(const char* format, ...) {
    va_list list;
    va_start(list, format);
    int n = vscanf(format, list);
    va_end(list);
    return n;
}
static int call_vfwscanf(FILE* f, const wchar_t* format, ...) {
    va_list list;
    va_start(list, format);
    int n = vfwscanf(f, format, list);
    va_end(list);
    return n;
}
static int call_vwscanf(const wchar_t* format, ...) {
    va_list list;
    va_start(list, format);
    int n = vwscanf(format, list);
    va_end(list);
    return n;
}

/* An old function that headers no longer declare. */
__asm__(".symver read_without_limit, gets@GLIBC_2.2.5");
char* read_without_limit(char*);

#define READERS(X)                                                                   \
    X(fgetc, note_char((wint_t)fgetc(f)))                                            \
    X(fgetc_unlocked, note_char((wint_t)fgetc_unlocked(f)))                          \
    X(getc, note_char((wint_t)(getc)(f)))                                            \
    X(getc_unlocked, note_char((wint_t)(getc_unlocked)(f)))                          \
    X(getchar, note_char((wint_t)(getchar)()))                                       \
    X(getchar_unlocked, note_char((wint_t)(getchar_unlocked)()))                     \
    X(getw, snprintf(got, sizeof got, "%08x", (unsigned)getw(f)))                    \
    X(fgets, note_line(fgets(line, hidden(sizeof line), f)))                         \
    X(fgets_unlocked, note_line(fgets_unlocked(line, hidden(sizeof line), f)))       \
    X(gets, note_line(read_without_limit(line)))                                     \
    X(getline, (getline(&more, &room, f), note_line(more), free(more)))              \
    X(getdelim, (getdelim(&more, &room, ',', f), note_line(more), free(more)))       \
    X(fread, (line[fread(line, 1, 20, f)] = 0, note_line(line)))                     \
    X(fread_unlocked, (line[(fread_unlocked)(line, 1, 20, f)] = 0, note_line(line))) \
    X(fscanf, (n = fscanf(f, "%d %99s", &n, line), note_line(line)))                 \
    X(scanf, (n = scanf("%d %99s", &n, line), note_line(line)))                      \
    X(vfscanf, (n = call_vfscanf(f, "%d %99s", &n, line), note_line(line)))          \
    X(vscanf, (n = call_vscanf("%d %99s", &n, line), note_line(line)))               \
    X(fgetwc, note_char(fgetwc(f)))                                                  \
    X(fgetwc_unlocked, note_char(fgetwc_unlocked(f)))                                \
    X(getwc, note_char((getwc)(f)))                                                  \
    X(getwc_unlocked, note_char((getwc_unlocked)(f)))                                \
    X(getwchar, note_char((getwchar)()))                                             \
    X(getwchar_unlocked, note_char((getwchar_unlocked)()))                           \
    X(fgetws, note_wide(fgetws(wide, hidden(100), f)))                               \
    X(fgetws_unlocked, note_wide(fgetws_unlocked(wide, hidden(100), f)))             \
    X(fwscanf, (n = fwscanf(f, L"%d %99ls", &n, wide), note_wide(wide)))             \
    X(wscanf, (n = wscanf(L"%d %99ls", &n, wide), note_wide(wide)))                  \
    X(vfwscanf, (n = call_vfwscanf(f, L"%d %99ls", &n, wide), note_wide(wide)))      \
    X(vwscanf, (n = call_vwscanf(L"%d %99ls", &n, wide), note_wide(wide)))           \
    X(fseek, (n = getc(f), fseek(f, 0, SEEK_CUR), snprintf(got, sizeof got, "%d", errno)))

#define DEFINE(name, call)                           \
    static void read_##name(FILE* f) {               \
        char line[200] = "", *more = NULL;           \
        wchar_t wide[100] = L"";                     \
        size_t room = 0;                             \
        int n = 0;                                   \
        call;                                        \
        (void)f, (void)line, (void)more, (void)wide; \
        (void)room, (void)n;                         \
    }
READERS(DEFINE)

static const struct {
    const char* name;
    void (*read)(FILE*);
} readers[] = {
#define ROW(name, call) {#name, read_##name},
    READERS(ROW)};

static void* feed(void* argument) {
    wait_ticks(2);
    int fd = (int)(intptr_t)argument;
    write_all(fd, text, 3); /* a piece, which is not enough for most */
    wait_ticks(2);
    write_all(fd, text + 3, sizeof text - 4);
    SAME(close(fd), 0);
    return NULL;
}

int main(void) {
    start_ticking();
    FILE* before = stdin;
    for (size_t i = 0; i < sizeof readers / sizeof *readers; i++) {
        int ends[2];
        SAME(pipe(ends), 0);
        FILE* f = fdopen(ends[0], "r");
        CHECK(f != NULL);
        stdin = f;
        pthread_t feeder = start(feed, (void*)(intptr_t)ends[1]);
        got[0] = 0;
        errno = 0;
        readers[i].read(f);
        say("%s: %s", readers[i].name, got);
        join(feeder);
        stdin = before;
        SAME(fclose(f), 0);
    }
    stop_ticking();
    return 0;
}
