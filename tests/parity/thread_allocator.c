/* The program's own allocator makes a thread as soon as it is asked for memory, which may be before
 * main(): the environment and the program's name are as they are to be.
 *
 * PARITY: switches=2 threads=1 */
#include "parity.h"

static char memory[64 << 20] __attribute__((aligned(4096)));
static size_t used;
static pthread_t thread;
static int begun, stop;

static void* purge(void* argument) {
    while (!__atomic_load_n(&stop, __ATOMIC_SEQ_CST)) usleep(1000);
    return argument;
}

/* Each block's size stands before it. */
static void* take(size_t alignment, size_t size) {
    if (!__atomic_exchange_n(&begun, 1, __ATOMIC_SEQ_CST)) {
        CHECK(pthread_create(&thread, NULL, purge, NULL) == 0);
    }
    if (alignment < 16) alignment = 16;
    size_t room = size + 2 * alignment;
    size_t from = __atomic_fetch_add(&used, (room + 15) & ~(size_t)15, __ATOMIC_SEQ_CST);
    if (from + room + 16 > sizeof memory) return NULL;
    size_t at = (from + alignment) & ~(alignment - 1);
    memcpy(memory + at - sizeof size, &size, sizeof size);
    return memory + at;
}

void* malloc(size_t size) { return take(16, size); }
void* calloc(size_t count, size_t size) { return take(16, count * size); }
void* memalign(size_t alignment, size_t size);
void* memalign(size_t alignment, size_t size) { return take(alignment, size); }
void* aligned_alloc(size_t alignment, size_t size) { return take(alignment, size); }
int posix_memalign(void** made, size_t alignment, size_t size) {
    *made = take(alignment, size);
    return *made == NULL ? ENOMEM : 0;
}
void free(void* block) { (void)block; }
void* realloc(void* block, size_t size) {
    size_t before = 0;
    char* made = take(16, size);
    if (block == NULL || made == NULL) return made;
    memcpy(&before, (char*)block - sizeof before, sizeof before);
    return memcpy(made, block, before < size ? before : size);
}

int main(int count, char** arguments) {
    CHECK(count == 1);
    void* some = malloc(100);
    CHECK(some != NULL);
    free(some);
    CHECK(environ != NULL);
    CHECK(getenv("PATH") != NULL);
    CHECK(program_invocation_name != NULL);
    CHECK(strcmp(program_invocation_name, arguments[0]) == 0);
    say("%s", program_invocation_short_name);
    usleep(3000);
    __atomic_store_n(&stop, 1, __ATOMIC_SEQ_CST);
    join(thread);
    return 0;
}
