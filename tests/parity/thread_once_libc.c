/* libc initialises its own tables once, too, and reads files meanwhile. The table of iconv is a
 * FIFO here: one thread waits for it inside, the other one for the first, and the one that writes
 * it must be able to run.
 *
 * PARITY: threads=2 switches=4 offloaded=1 kernel_threads=3
 */
#include "thread.h"

#include <fcntl.h>
#include <iconv.h>
#include <sys/stat.h>

static int opened;

static void* convert(void* argument) {
    iconv_t converter = iconv_open("UTF-16LE", "UTF-8");
    char in[] = "x", out[4] = "";
    char *from = in, *to = out;
    size_t left = 1, room = sizeof out;
    CHECK(converter != (iconv_t)-1);
    CHECK(iconv(converter, &from, &left, &to, &room) == 0 && to == out + 2 && out[0] == 'x');
    CHECK(iconv_close(converter) == 0);
    opened++;
    return argument;
}

int main(void) {
    char directory[] = "/tmp/parity-once-XXXXXX", table[64];
    CHECK(mkdtemp(directory) != NULL);
    snprintf(table, sizeof table, "%s/gconv-modules", directory);
    CHECK(mkfifo(table, 0600) == 0);
    CHECK(setenv("GCONV_PATH", directory, 1) == 0);
    pthread_t one = spawn(convert, NULL), other = spawn(convert, NULL);
    nap(100);
    SHOW_LONG(opened);
    int writer = open(table, O_WRONLY);
    CHECK(writer >= 0);
    nap(100);
    SHOW_LONG(opened);
    CHECK(close(writer) == 0);
    finish(one);
    finish(other);
    SHOW_LONG(opened);
    CHECK(unlink(table) == 0 && rmdir(directory) == 0);
    return 0;
}
