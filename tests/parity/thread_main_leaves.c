/* The main thread leaves by pthread_exit while others run: its cleanup handlers and TSD destructors
 * run at once, the process lives until the last thread ends, and then ends with status 0 after the
 * atexit handlers and the flush of stdout.
 *
 * PARITY: switches=20 threads=10
 */
#include "thread.h"

static pthread_key_t key;
static pthread_t main_thread;
static sem_t main_gone;
static int left = 10;

static void at_exit(void) { puts("atexit handler"); }

static void key_destructor(void* value) {
    printf("TSD destructor of %s\n", (char*)value);
    sem_post(&main_gone);
}

static void cleanup(void* text) { puts(text); }

static void* worker(void* arg) {
    sem_wait(&main_gone);
    sem_post(&main_gone);
    if (arg) {
        void* result = NULL;
        int error = pthread_join(main_thread, &result); /* main is a thread like any other */
        printf("joining main: %s, %ld\n", result_name(error), (long)result);
        while (__atomic_load_n(&left, __ATOMIC_SEQ_CST) > 1) nap(1);
        puts("the last thread ends");
    }
    nap(20);
    __atomic_sub_fetch(&left, 1, __ATOMIC_SEQ_CST);
    return NULL;
}

int main(void) {
    main_thread = pthread_self();
    sem_init(&main_gone, 0, 0);
    atexit(at_exit);
    pthread_key_create(&key, key_destructor);
    pthread_setspecific(key, "main");
    for (long i = 0; i < 10; i++) pthread_detach(spawn(worker, (void*)(long)(i == 0)));
    pthread_cleanup_push(cleanup, "cleanup handler of main");
    pthread_exit((void*)77L);
    pthread_cleanup_pop(0);
    return 3;
}
