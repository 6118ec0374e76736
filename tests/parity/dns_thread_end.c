/* A thousand threads, one after the other, look a name up and end, every tenth by cancellation in
 * the middle of it: neither memory nor descriptors grow with them.
 *
 * PARITY: switches=1000 threads=1000
 */
#include "dns_server.h"

#include <malloc.h>

static long asking;

static void* ask(void* argument) {
    struct addrinfo hints, *list = NULL;
    memset(&hints, 0, sizeof hints);
    hints.ai_family = AF_INET;
    SAME(res_init(), 0);
    use_dns(&_res);
    _res.retrans = 5;
    add_to(&asking, 1);
    SAME(getaddrinfo((const char*)argument, "80", &hints, &list), 0);
    freeaddrinfo(list);
    return NULL;
}

static int lowest_free(void) {
    int fd = dup(0);
    close(fd);
    return fd;
}

static void run_threads(int count) {
    for (int i = 0; i < count; i++) {
        if (i % 10 == 9) {
            long before = value_of(&asking);
            pthread_t thread = start(ask, "mute3.test");
            wait_for(&asking, before + 1);
            SAME(pthread_cancel(thread), 0);
            CHECK(join(thread) == PTHREAD_CANCELED);
        } else {
            join(start(ask, "host3.test"));
        }
    }
}

int main(void) {
    start_ticking();
    start_dns();
    run_threads(100);
    size_t memory = mallinfo2().uordblks;
    int fd = lowest_free();
    run_threads(900);
    long grown = (long)(mallinfo2().uordblks - memory);
    /* What glibc itself leaves behind in a cancelled look-up is less than 2 KiB. */
    say("memory %s", grown < 90 * 2048 + 20000 ? "is what it was" : "has grown");
    if (grown >= 90 * 2048 + 20000) fprintf(stderr, "by %ld\n", grown);
    say("descriptors %s", lowest_free() <= fd + 2 ? "are what they were" : "have grown");
    stop_dns();
    stop_ticking();
    return 0;
}
