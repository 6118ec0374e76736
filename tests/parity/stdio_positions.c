/* Streams on files, from several threads at once: seeking, telling, pushing back, reopening, every
 * way to set a buffer; fcloseall; a stream opened with "c", which is no cancellation point; two
 * threads that wait for a stream that a third holds locked.
 *
 * PARITY: switches=10 threads=8 */
#include "parity.h"

#include <stdio_ext.h>
#include <wchar.h>

static void* positions(void* argument) {
    char name[32], line[64];
    snprintf(name, sizeof name, "file-%d", (int)(intptr_t)argument);
    FILE* f = fopen64(name, "w+");
    CHECK(f != NULL);
    char buffer[128];
    switch ((intptr_t)argument) {
        case 0:
            setbuf(f, NULL);
            break;
        case 1:
            setbuffer(f, buffer, sizeof buffer);
            break;
        case 2:
            setlinebuf(f);
            break;
        default:
            SAME(setvbuf(f, NULL, _IOFBF, 4096), 0);
    }
    for (int i = 0; i < 20; i++) {
        SAME(fprintf(f, "line %02d\n", i), 8);
        if (i % 5 == 0) usleep(1000);
    }
    SAME(ftell(f), 160);
    SAME(ftello(f), 160);
    SAME(ftello64(f), 160);
    fpos_t at;
    fpos64_t at64;
    SAME(fseeko(f, 8, SEEK_SET), 0);
    SAME(fgetpos(f, &at), 0);
    SAME(fseeko64(f, 16, SEEK_SET), 0);
    SAME(fgetpos64(f, &at64), 0);
    rewind(f);
    CHECK(fgets(line, sizeof line, f) && strcmp(line, "line 00\n") == 0);
    SAME(fsetpos(f, &at), 0);
    CHECK(fgets(line, sizeof line, f) && strcmp(line, "line 01\n") == 0);
    SAME(fsetpos64(f, &at64), 0);
    SAME(ungetc('L', f), 'L');
    CHECK(fgets(line, sizeof line, f) && strcmp(line, "Lline 02\n") == 0);
    SAME(fseek(f, 0, SEEK_END), 0);
    SAME(getc(f), EOF);
    CHECK(feof(f) && !ferror(f));
    clearerr(f);
    f = freopen64(name, "r", f);
    CHECK(f != NULL);
    SAME(fwide(f, 1) > 0, 1);
    SAME(fgetwc(f), L'l');
    SAME(ungetwc(L'm', f), L'm');
    SAME(fgetwc(f), L'm');
    f = freopen(name, "a", f);
    CHECK(f != NULL);
    SAME(fclose(f), 0);
    SAME(unlink(name), 0);
    f = tmpfile64();
    CHECK(f != NULL);
    SAME(fputs("temporary", f) >= 0, 1);
    SAME(fclose(f), 0);
    return NULL;
}

static FILE* shared;
static long waiting;

static void* take(void* argument) {
    add_to(&waiting, 1);
    if (argument != NULL) {
        flockfile(shared);
        SAME(fputs_unlocked("held\n", shared) >= 0, 1);
        funlockfile(shared);
    } else {
        SAME(fputs("put\n", shared) >= 0, 1);
    }
    return NULL;
}

static void* never_cancelled(void* argument) {
    FILE* f = fopen("fifo", "rc");
    CHECK(f != NULL);
    char line[32];
    CHECK(fgets(line, sizeof line, f) != NULL); /* cancelled meanwhile */
    SAME(fclose(f), 0);
    set_to((long*)argument, 1);
    return argument;
}

int main(void) {
    start_ticking();
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) threads[i] = start(positions, (void*)(intptr_t)i);
    for (int i = 0; i < 4; i++) join(threads[i]);
    say("positions");

    shared = tmpfile();
    CHECK(shared != NULL);
    flockfile(shared);
    pthread_t a = start(take, NULL), b = start(take, &waiting);
    wait_for(&waiting, 2);
    wait_ticks(3);
    SAME(ftrylockfile(shared), 0); /* recursive */
    SAME(ftell(shared), 0);
    funlockfile(shared);
    funlockfile(shared);
    join(a);
    join(b);
    SAME(ftell(shared), 9);
    say("two wait for a locked stream");

    long done = 0;
    SAME(mkfifo("fifo", 0600), 0);
    int fd = open("fifo", O_RDWR);
    CHECK(fd >= 0);
    pthread_t reader = start(never_cancelled, &done);
    wait_ticks(5);
    SAME(pthread_cancel(reader), 0);
    wait_ticks(5);
    SAME(value_of(&done), 0);
    write_all(fd, "for one that was opened with c\n", 31);
    void* result = join(reader);
    say("a stream opened with c: %s, %s", value_of(&done) ? "read on" : "ended",
        result == PTHREAD_CANCELED ? "cancelled afterwards" : "never cancelled");
    SAME(unlink("fifo"), 0);
    stop_ticking();
    SAME(fcloseall(), 0);
    return 0;
}
