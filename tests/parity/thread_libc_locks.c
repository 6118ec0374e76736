/* What takes one of libc's own locks, from many threads at once: the allocator, the environment,
 * locales and translations, local time, random numbers, exit handlers, the dynamic linker,
 * character conversion. Nothing is lost and nobody waits for ever.
 *
 * PARITY: switches=20 threads=8 */
#include "parity.h"

#include <dlfcn.h>
#include <execinfo.h>
#include <iconv.h>
#include <libintl.h>
#include <link.h>
#include <locale.h>
#include <malloc.h>
#include <mcheck.h>
#include <nl_types.h>
#include <semaphore.h>
#include <sys/mman.h>
#include <syslog.h>
#include <wchar.h>

enum { THREADS = 8, ROUNDS = 20 };

static void allocator(void) {
    void* some[12];
    some[0] = malloc(100);
    some[1] = calloc(10, 10);
    some[2] = realloc(NULL, 200);
    some[3] = reallocarray(NULL, 10, 30);
    some[4] = aligned_alloc(64, 128);
    some[5] = memalign(64, 100);
    some[6] = valloc(100);
    some[7] = pvalloc(100);
    CHECK(posix_memalign(&some[8], 4096, 100) == 0);
    some[9] = malloc(300000);
    some[10] = strdup("text");
    some[11] = realloc(malloc(10), 5000);
    for (int i = 0; i < 12; i++) CHECK(some[i] != NULL && malloc_usable_size(some[i]) > 0);
    sched_yield();
    for (int i = 0; i < 12; i++) free(some[i]);
    malloc_trim(0);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
    CHECK(mallinfo().arena != 0);
#pragma GCC diagnostic pop
    CHECK(mallinfo2().arena > 0);
    SAME(mallopt(M_PERTURB, 0), 1);
}

static void environment(int me) {
    char name[32], text[64];
    snprintf(name, sizeof name, "PARITY_%d", me);
    SAME(setenv(name, "value", 1), 0);
    sched_yield();
    CHECK(strcmp(getenv(name), "value") == 0);
    SAME(unsetenv(name), 0);
    snprintf(text, sizeof text, "%s=other", name);
    char* kept = strdup(text);
    SAME(putenv(kept), 0);
    CHECK(strcmp(getenv(name), "other") == 0);
    SAME(unsetenv(name), 0);
    free(kept);
}

static void language(void) {
    CHECK(setlocale(LC_ALL, NULL) != NULL);
    locale_t c = newlocale(LC_ALL_MASK, "C", NULL), copy = duplocale(c);
    CHECK(c != NULL && copy != NULL);
    freelocale(copy);
    bindtextdomain("parity", "/nowhere");
    bind_textdomain_codeset("parity", "UTF-8");
    textdomain("parity");
    CHECK(strcmp((gettext)("word"), "word") == 0);
    CHECK(strcmp((dgettext)("parity", "word"), "word") == 0);
    CHECK(strcmp((dcgettext)("parity", "word", LC_MESSAGES), "word") == 0);
    CHECK(strcmp((ngettext)("one", "more", 2), "more") == 0);
    CHECK(strcmp((dngettext)("parity", "one", "more", 1), "one") == 0);
    CHECK(strcmp((dcngettext)("parity", "one", "more", 2, LC_MESSAGES), "more") == 0);
    nl_catd catalogue = catopen("none such", 0);
    CHECK(strcmp(catgets(catalogue, 1, 1, "word"), "word") == 0);
    if (catalogue != (nl_catd)-1) catclose(catalogue);
    char text[64], *in = text, *out = text + 32;
    size_t left = 4, room = 16;
    strcpy(text, "abcd");
    iconv_t converter = iconv_open("UTF-16LE", "ISO-8859-1");
    CHECK(converter != (iconv_t)-1);
    SAME(iconv(converter, &in, &left, &out, &room), 0);
    SAME(iconv_close(converter), 0);

    time_t now = 1000000000;
    struct tm day;
    wchar_t wide[32];
    tzset();
    CHECK(localtime_r(&now, &day) != NULL && mktime(&day) == now);
    CHECK(gmtime_r(&now, &day) != NULL && timegm(&day) == now);
    CHECK(localtime(&now) != NULL && gmtime(&now) != NULL);
    CHECK(localtime_r(&now, &day) != NULL && timelocal(&day) == now);
    CHECK(ctime(&now) != NULL && ctime_r(&now, text) != NULL);
    CHECK(strftime(text, sizeof text, "%F", &day) == 10);
    CHECK(strftime_l(text, sizeof text, "%F", &day, c) == 10);
    CHECK(wcsftime(wide, 32, L"%F", &day) == 10);
    CHECK(wcsftime_l(wide, 32, L"%F", &day, c) == 10);
    freelocale(c);
}

static int count_objects(struct dl_phdr_info* info, size_t size, void* count) {
    (void)info, (void)size;
    sched_yield(); /* with the dynamic linker's lock held */
    ++*(int*)count;
    return 0;
}

static void dynamic_linker(void) {
    int count = 0;
    dl_iterate_phdr(count_objects, &count);
    CHECK(count > 2);
    void* handle = dlopen("libm.so.6", RTLD_NOW);
    CHECK(handle != NULL && dlsym(handle, "cos") != NULL);
    CHECK(dlvsym(handle, "cos", "GLIBC_2.2.5") != NULL && dlsym(handle, "none such") == NULL);
    CHECK(dlerror() != NULL);
    struct link_map* map = NULL;
    SAME(dlinfo(handle, RTLD_DI_LINKMAP, &map), 0);
    Dl_info info;
    void* extra = NULL;
    CHECK(dladdr(dlsym(handle, "cos"), &info) != 0);
    CHECK(dladdr1(dlsym(handle, "cos"), &info, &extra, RTLD_DL_LINKMAP) != 0 && extra == map);
    SAME(dlclose(handle), 0);
    void* addresses[8];
    int depth = backtrace(addresses, 8);
    char** names = backtrace_symbols(addresses, depth);
    CHECK(names != NULL);
    free(names);
}

static void others(int me) {
    char name[64];
    unsigned char state[64];
    srandom(7);
    CHECK(random() >= 0);
    srand(7);
    CHECK(rand() >= 0);
    if (me == 0) {
        char* before = initstate(3, (char*)state, sizeof state);
        CHECK(before != NULL && setstate(before) != NULL);
    }
    setlogmask(setlogmask(0));
    SAME(mcheck(NULL), -1); /* too late for it */
    SAME(mcheck_pedantic(NULL), -1);
    SAME(mprobe(name), MCHECK_DISABLED);
    mcheck_check_all();
    snprintf(name, sizeof name, "/parity-%d-%d", (int)getpid(), me);
    int fd = shm_open(name, O_RDWR | O_CREAT, 0600);
    CHECK(fd >= 0);
    SAME(close(fd), 0);
    SAME(shm_unlink(name), 0);
    sem_t* semaphore = sem_open(name, O_CREAT, 0600, 1);
    CHECK(semaphore != SEM_FAILED);
    SAME(sem_wait(semaphore), 0);
    SAME(sem_close(semaphore), 0);
    SAME(sem_unlink(name), 0);
}

static void* work(void* argument) {
    int me = (int)(intptr_t)argument;
    for (int i = 0; i < ROUNDS; i++) {
        allocator();
        environment(me);
        language();
        dynamic_linker();
        others(me);
        sched_yield();
    }
    return NULL;
}

/* ---- the ends of processes, each a child's -----------------------------------------------------
 */

static void before_fork(void) {}
static void at_exit(int status, void* argument) { _exit(status + (int)(intptr_t)argument); }
static void at_quick_exit_(void) { _exit(33); }

static int status_of(int kind) {
    int status = 0;
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        if (kind == 0) on_exit(at_exit, (void*)20), exit(2);
        if (kind == 1) at_quick_exit(at_quick_exit_), quick_exit(1);
        if (kind == 2) abort();
        if (kind == 3) {
            mtrace();
            free(malloc(10));
            muntrace();
            clearenv();
            _exit(getenv("PATH") == NULL ? 44 : 45);
        }
        _exit(1);
    }
    SAME(waitpid(child, &status, 0), child);
    return status;
}

int main(void) {
    start_ticking();
    SAME(pthread_atfork(before_fork, NULL, NULL), 0);
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) threads[i] = start(work, (void*)(intptr_t)i);
    for (int i = 0; i < THREADS; i++) join(threads[i]);
    say("all locks are free");
    say("on_exit %d", WEXITSTATUS(status_of(0)));
    say("quick_exit %d", WEXITSTATUS(status_of(1)));
    say("abort %d", WTERMSIG(status_of(2)));
    say("clearenv %d", WEXITSTATUS(status_of(3)));
    /* A second copy of a library, in a namespace of its own. */
    void* handle = dlmopen(LM_ID_NEWLM, "libm.so.6", RTLD_NOW);
    say("dlmopen %s", handle != NULL && dlsym(handle, "cos") != NULL ? "found" : "not found");
    if (handle != NULL) SAME(dlclose(handle), 0);
    stop_ticking();
    return 0;
}
