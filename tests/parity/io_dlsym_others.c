/* Names of libraries that the program does not use stand for nothing in it, with threads and
 * without: an extension that has such a library inside it (Ruby's nio4r has libev) must find its
 * own functions.
 *
 * PARITY: switches=2 threads=1
 */
#include "parity.h"

#include <dlfcn.h>

static void look(const char* when) {
    static const char* const names[] = {"ev_run",          "ev_loop_new",    "ev_io_start",
                                        "ev_default_loop", "ares_init",      "ares_send",
                                        "ares_destroy",    "event_base_loop"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        CHECK(dlsym(RTLD_DEFAULT, names[i]) == NULL);
    say("%s: nothing", when);
}

static void* body(void* unused) {
    usleep(1000);
    look("in a thread");
    return unused;
}

int main(void) {
    look("without threads");
    join(start(body, NULL));
    look("afterwards");
    return 0;
}
