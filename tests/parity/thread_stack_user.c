/* Stacks the program brings itself (pthread_attr_setstack): the thread runs inside them, nothing is
 * touched outside them, pthread_getattr_np reports them, and after the join the program may use the
 * memory again. Four threads live at once, each with a pattern before and behind its stack.
 *
 * PARITY: switches=8 threads=12
 */
#include "thread.h"

#include <sys/mman.h>

enum { count = 4, stack_size = 128 << 10, margin = 4096, rounds = 3 };

static char* stack_of[count];
static pthread_barrier_t barrier;

static void* body(void* arg) {
    long i = (long)arg;
    char local[2000];
    memset(local, (int)i, sizeof local);
    CHECK(local >= stack_of[i] && local + sizeof local <= stack_of[i] + stack_size);
    pthread_attr_t attr;
    void* address = NULL;
    size_t size = 0;
    CHECK(pthread_getattr_np(pthread_self(), &attr) == 0);
    CHECK(pthread_attr_getstack(&attr, &address, &size) == 0);
    CHECK(address == stack_of[i] && size == stack_size);
    pthread_attr_destroy(&attr);
    pthread_barrier_wait(&barrier);
    char text[100];
    snprintf(text, sizeof text, "%.3f", (double)i / 7);
    usleep(1000);
    for (size_t k = 0; k < sizeof local; k++) CHECK(local[k] == (char)i);
    return (void*)(long)strlen(text);
}

int main(void) {
    pthread_barrier_init(&barrier, NULL, count);
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    size_t whole = stack_size + 2 * margin;
    char* memory[count];
    for (int i = 0; i < count; i++) {
        memory[i] = mmap(NULL, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        CHECK(memory[i] != MAP_FAILED);
        stack_of[i] = memory[i] + margin;
    }
    SHOW(pthread_attr_setstack(&attr, stack_of[0], 1000));

    for (int round = 0; round < rounds; round++) {
        pthread_t thread[count];
        for (long i = 0; i < count; i++) {
            memset(memory[i], 0x5a, whole);
            CHECK(pthread_attr_setstack(&attr, stack_of[i], stack_size) == 0);
            CHECK(pthread_create(&thread[i], &attr, body, (void*)i) == 0);
        }
        for (long i = 0; i < count; i++) CHECK((long)finish(thread[i]) == 5);
        for (long i = 0; i < count; i++)
            for (int k = 0; k < margin; k++)
                CHECK(memory[i][k] == 0x5a && stack_of[i][stack_size + k] == 0x5a);
        for (long i = 0; i < count; i++) memset(memory[i], 0, whole);
    }
    for (int i = 0; i < count; i++) CHECK(munmap(memory[i], whole) == 0);
    printf("%d rounds of %d threads on their own stacks\n", rounds, count);
    return 0;
}
