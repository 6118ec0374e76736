/* sendfile into a pipe moves what there is room for and comes back: who reads the pipe may be the
 * caller itself. */
#include "parity.h"

#include <sys/sendfile.h>

int main(void) {
    static char data[200000];
    int ends[2];
    off_t offset = 0;
    FILE* file = tmpfile();
    start_ticking();
    wait_ticks(1);
    fill_pattern(data, sizeof data, 0, 1);
    SAME(fwrite(data, 1, sizeof data, file), sizeof data);
    SAME(fflush(file), 0);
    SAME(pipe(ends), 0);
    while (offset < (off_t)sizeof data) {
        size_t from = (size_t)offset;
        ssize_t sent = sendfile(ends[1], fileno(file), &offset, sizeof data - from);
        CHECK(sent > 0 && (off_t)from + sent == offset);
        SAME(read_all(ends[0], data, (size_t)sent), sent);
        CHECK(is_pattern(data, (size_t)sent, from, 1));
        say("%zd bytes", sent);
    }
    stop_ticking();
    return 0;
}
