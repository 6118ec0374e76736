/* exec from a thread that is not the main one, while others run: the process keeps its number, the
 * other threads are gone, and the new program starts afresh and makes threads of its own.
 *
 * PARITY: switches=2 threads=3 status=3
 */
#include "thread.h"

static void* waits(void* arg) {
    sleep(1000);
    return arg;
}

static void* leaves(void* arg) {
    char pid[20];
    snprintf(pid, sizeof pid, "%d", (int)getpid());
    puts("exec");
    fflush(stdout);
    nap(10);
    execl("/proc/self/exe", (char*)arg, pid, NULL);
    CHECK(!"exec failed");
    return NULL;
}

static void* add_one(void* arg) {
    nap(1);
    return (void*)((long)arg + 1);
}

int main(int argc, char** argv) {
    if (argc == 1) {
        spawn(waits, NULL);
        spawn(leaves, argv[0]);
        sleep(1000);
        return 1;
    }
    CHECK(atoi(argv[1]) == getpid() && gettid() == getpid());
    long sum = 0;
    for (long i = 0; i < 3; i++) sum += (long)finish(spawn(add_one, (void*)i));
    printf("again: %ld\n", sum);
    return 3;
}
