/* What streams say when descriptors fail: SO_RCVTIMEO ends fgets with EAGAIN and the stream can be
 * used on; a non-blocking descriptor likewise, data read before are not lost; EPIPE by fflush and
 * by fclose; EBADF; reading a stream opened for writing.
 *
 * PARITY: switches=10 threads=3 */
#include "parity.h"

static int pair[2];

static void* write_soon(void* argument) {
    wait_ticks(3);
    const char* text = (const char*)argument;
    SAME(write(pair[1], text, strlen(text)), strlen(text));
    return NULL;
}

int main(void) {
    start_ticking();
    signal(SIGPIPE, SIG_IGN);
    unix_pair(pair);
    FILE* stream = fdopen(dup(pair[0]), "r+");
    char line[64];
    struct timeval wait = timeval_ms(80);
    SAME(setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait), 0);
    long before = ticks();
    errno = 0;
    CHECK(fgets(line, sizeof line, stream) == NULL);
    SAME(errno, EAGAIN);
    CHECK(ferror(stream) && !feof(stream));
    CHECK(ticks() > before);
    clearerr(stream);
    wait = timeval_ms(0);
    SAME(setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait), 0);
    pthread_t thread = start(write_soon, (void*)"a line\nand half");
    CHECK(fgets(line, sizeof line, stream) != NULL);
    SAME(strcmp(line, "a line\n"), 0);
    join(thread);
    say("SO_RCVTIMEO ends a wait, the stream lives on");

    set_nonblocking(pair[0], 1);
    errno = 0;
    SAME(fread(line, 1, 20, stream), 8); /* what there is */
    SAME(errno, EAGAIN);
    SAME(memcmp(line, "and half", 8), 0);
    CHECK(ferror(stream));
    clearerr(stream);
    SAME(getc(stream), EOF);
    SAME(errno, EAGAIN);
    clearerr(stream);
    set_nonblocking(pair[0], 0);
    thread = start(write_soon, (void*)"!");
    SAME(getc(stream), '!');
    join(thread);
    say("O_NONBLOCK likewise");

    SAME(close(pair[1]), 0);
    SAME(fputs("to nobody", stream) >= 0, 1); /* into the buffer */
    SAME(fflush(stream), EOF);
    SAME(errno, EPIPE);
    CHECK(ferror(stream));
    SAME(fclose(stream), 0); /* the failed fflush has thrown the buffer away */
    stream = fdopen(pair[0], "w");
    SAME(fputs("to nobody", stream) >= 0, 1);
    SAME(fclose(stream), EOF);
    SAME(errno, EPIPE);
    FAILS(close(pair[0]), EBADF); /* it is closed even so */
    say("EPIPE");

    errno = 0;
    CHECK(fdopen(77, "r") == NULL);
    SAME(errno, EBADF);
    stream = fopen("/dev/null", "w");
    SAME(getc(stream), EOF);
    SAME(errno, EBADF);
    fclose(stream);
    CHECK(fopen("/no/such/file", "r") == NULL);
    SAME(errno, ENOENT);
    CHECK(popen("true", "sideways") == NULL);
    SAME(errno, EINVAL);
    say("EBADF, ENOENT, EINVAL");
    stop_ticking();
    return 0;
}
