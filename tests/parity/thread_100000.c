/* A hundred thousand threads made and ended, one after the other, in batches and detached, and the
 * memory of the process stops growing: after a tenth of them it has its final size. Each thread
 * uses malloc, thread-specific data, stdio and a function with a per-thread buffer, so that what is
 * kept by mistake for each thread shows.
 *
 * Natively a thread's end waits for the machine's scheduler: two seconds, or minutes under load.
 *
 * PARITY: switches=100000 threads=100000 timeout=120 native=0
 */
#include "thread.h"

enum { batch = 500 };
static pthread_key_t key;
static sem_t ended;
static __thread char block[1000];
static long made, resident_limit_kb = 2048;

static void* body(void* arg) {
    char text[64];
    pthread_setspecific(key, malloc(100));
    memset(block, 1, sizeof block);
    snprintf(text, sizeof text, "%ld %.3f", (long)arg, (double)(long)arg / 3);
    free(malloc(2000));
    sched_yield();
    CHECK(strerror(100000 + (int)(long)arg) != NULL); /* a buffer per thread */
    return (void*)(long)strlen(text);
}

static void* body_detached(void* arg) {
    body(arg);
    sem_post(&ended);
    return NULL;
}

static void one_after_the_other(int count) {
    for (long i = 0; i < count; i++) CHECK((long)finish(spawn(body, (void*)i)) > 0);
    made += count;
}

static void in_batches(int count) {
    pthread_t thread[batch];
    for (int done = 0; done < count; done += batch) {
        for (long i = 0; i < batch; i++) thread[i] = spawn(body, (void*)i);
        for (long i = 0; i < batch; i++) CHECK((long)finish(thread[i]) > 0);
    }
    made += count;
}

static void detached(int count) {
    for (int done = 0; done < count; done += batch) {
        for (long i = 0; i < batch; i++) pthread_detach(spawn(body_detached, (void*)i));
        for (long i = 0; i < batch; i++) sem_wait(&ended);
        nap(2); /* they have posted, now they end */
    }
    made += count;
}

static long resident_kb(void) {
    char line[200];
    long kb = -1;
    FILE* status = fopen("/proc/self/status", "r");
    CHECK(status != NULL);
    while (fgets(line, sizeof line, status))
        if (sscanf(line, "VmRSS: %ld", &kb) == 1) break;
    fclose(status);
    CHECK(kb > 0);
    return kb;
}

int main(void) {
    pthread_key_create(&key, free);
    sem_init(&ended, 0, 0);
    in_batches(4000);
    one_after_the_other(4000);
    detached(2000);
    long early = resident_kb();
    one_after_the_other(40000);
    in_batches(40000);
    detached(10000);
    long late = resident_kb();
    printf("threads made: %ld\n", made);
    fprintf(stderr, "resident: %ld kB after a tenth, %ld kB at the end\n", early, late);
    printf("memory stopped growing: %s\n", late - early <= resident_limit_kb ? "yes" : "no");
    return 0;
}
