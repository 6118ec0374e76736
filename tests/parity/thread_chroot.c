/* A daemon that changes its root before it makes its first thread finds what it needs nevertheless.
 * Who may not change it just makes the threads.
 *
 * PARITY: switches=4 threads=4
 */
#include "thread.h"

#include <fcntl.h>
#include <sys/stat.h>

static void* body(void* argument) {
    usleep(1000);
    return argument;
}

int main(void) {
    char folder[] = "/tmp/parity-chroot-XXXXXX";
    CHECK(mkdtemp(folder) != NULL);
    int old_root = open("/", O_RDONLY | O_DIRECTORY);
    int changed = chroot(folder) == 0 && chdir("/") == 0;
    CHECK(changed || errno == EPERM);
    CHECK(access("/lib", F_OK) == (changed ? -1 : 0));
    pthread_t thread[4];
    for (long i = 0; i < 4; i++) CHECK(pthread_create(&thread[i], NULL, body, (void*)i) == 0);
    for (long i = 0; i < 4; i++) {
        void* result;
        CHECK(pthread_join(thread[i], &result) == 0 && result == (void*)i);
    }
    printf("joined\n");
    CHECK(!changed || (fchdir(old_root) == 0 && chroot(".") == 0));
    CHECK(rmdir(folder) == 0);
    return 0;
}
