/* pthread_exit from deep inside: cleanup handlers run last pushed first, those popped without
 * execution do not run, TSD destructors follow the handlers, and the result reaches the joiner.
 * The handlers themselves wait, so other threads run in the middle of the way out.
 *
 * PARITY: switches=60 threads=20
 */
#include "thread.h"

enum { threads = 20 };
static char log_of[threads][200];
static pthread_key_t key;
static pthread_barrier_t barrier;
static __thread long self;

static void note(void* text) { strcat(log_of[self], text); }

static void slow_note(void* text) {
    nap(1);
    note(text);
    sched_yield();
}

static void key_destructor(void* value) {
    sched_yield();
    note(value);
}

static void middle(int depth) {
    pthread_cleanup_push(slow_note, " d");
    if (depth > 0) middle(depth - 1);
    pthread_cleanup_push(note, " e");
    pthread_barrier_wait(&barrier);
    if (depth < 3) pthread_exit((void*)(self * 10));
    pthread_cleanup_pop(0);
    pthread_cleanup_pop(0);
}

static void* body(void* arg) {
    self = (long)arg;
    pthread_setspecific(key, " key");
    pthread_cleanup_push(note, " a");
    pthread_cleanup_push(note, " b");
    pthread_cleanup_push(note, " never");
    pthread_cleanup_pop(0);
    pthread_cleanup_push(note, " now");
    pthread_cleanup_pop(1);
    middle(2);
    pthread_cleanup_pop(0);
    pthread_cleanup_pop(0);
    return NULL;
}

int main(void) {
    pthread_key_create(&key, key_destructor);
    pthread_barrier_init(&barrier, NULL, threads);
    pthread_t thread[threads];
    for (long i = 0; i < threads; i++) thread[i] = spawn(body, (void*)i);
    for (long i = 0; i < threads; i++) {
        long result = (long)finish(thread[i]);
        printf("%ld:%s\n", result, log_of[i]);
    }
    return 0;
}
