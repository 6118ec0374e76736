/* Compiled with _FORTIFY_SOURCE=2, as distributions do: buffers whose size the compiler knows are
 * read through __read_chk, __recv_chk, __recvfrom_chk, __poll_chk, __ppoll_chk, __fgets_chk,
 * __fread_chk, __printf_chk; they wait like the plain ones.
 *
 * PARITY: switches=10 threads=8 */
#if defined(__OPTIMIZE__) && !defined(_FORTIFY_SOURCE)
#    define _FORTIFY_SOURCE 2
#endif
#include "parity.h"

static int pair[2];

static void* write_soon(void* argument) {
    (void)argument;
    wait_ticks(4);
    SAME(write(pair[1], "text\n", 5), 5);
    return NULL;
}

int main(void) {
    start_ticking();
    unix_pair(pair);
    FILE* stream = fdopen(dup(pair[0]), "r");
    struct pollfd one[1] = {{pair[0], POLLIN, 0}};
    struct timespec wait = timespec_ms(60000);
    for (int way = 0; way < 8; way++) {
        char data[16] = "";
        size_t room = (size_t)hidden(5); /* unknown to the compiler, so it is checked at run time */
        pthread_t thread = start(write_soon, NULL);
        switch (way) {
            case 0:
                SAME(read(pair[0], data, room), 5);
                break;
            case 1:
                SAME(recv(pair[0], data, room, 0), 5);
                break;
            case 2:
                SAME(recvfrom(pair[0], data, room, 0, NULL, NULL), 5);
                break;
            case 3:
                SAME(poll(one, (nfds_t)hidden(1), -1), 1);
                break;
            case 4:
                SAME(ppoll(one, (nfds_t)hidden(1), &wait, NULL), 1);
                break;
            case 5:
                CHECK(fgets(data, hidden(16), stream) != NULL);
                break;
            case 6:
                SAME(fread(data, 1, room, stream), 5);
                break;
            case 7:
                room = 16;
                char* line = NULL;
                SAME(getline(&line, &room, stream), 5);
                memcpy(data, line, 5);
                free(line);
        }
        if (way == 3 || way == 4) SAME(read(pair[0], data, 16), 5);
        join(thread);
        SAME(memcmp(data, "text\n", 5), 0);
        say("way %d: %.4s", way, data);
    }
    fd_set set;
    FD_ZERO(&set);
    FD_SET(hidden(3), &set); /* __fdelt_chk */
    SAME(FD_ISSET(hidden(3), &set) != 0, 1);
    stop_ticking();
    return 0;
}
