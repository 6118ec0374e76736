/* C11 threads: thrd, mtx, cnd, tss and call_once, with their own result codes.
 *
 * PARITY: switches=40 threads=26
 */
#include "thread.h"

#include <threads.h>

static mtx_t mutex;
static cnd_t cond;
static tss_t storage;
static once_flag flag = ONCE_FLAG_INIT;
static thread_local int own;
static int turn, once_runs, destroyed;

static const char* name_of(int result) {
    switch (result) {
        case thrd_success:
            return "thrd_success";
        case thrd_busy:
            return "thrd_busy";
        case thrd_error:
            return "thrd_error";
        case thrd_nomem:
            return "thrd_nomem";
        case thrd_timedout:
            return "thrd_timedout";
        default:
            return "another value";
    }
}

#define SHOW_C11(call) printf("%s: %s\n", #call, name_of(call))

static void run_once(void) {
    thrd_sleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    once_runs++;
}

static void destroy(void* value) { destroyed += *(int*)value; }

static int body(void* arg) {
    int number = (int)(long)arg;
    call_once(&flag, run_once);
    own = number;
    int* value = malloc(sizeof *value);
    *value = number;
    CHECK(tss_set(storage, value) == thrd_success);
    CHECK(mtx_lock(&mutex) == thrd_success);
    while (turn != number) CHECK(cnd_wait(&cond, &mutex) == thrd_success);
    thrd_yield();
    CHECK(own == number && tss_get(storage) == value && once_runs == 1);
    turn++;
    CHECK(cnd_broadcast(&cond) == thrd_success);
    CHECK(mtx_unlock(&mutex) == thrd_success);
    if (number % 2) thrd_exit(number * 10);
    return number * 10;
}

static sem_t release;

static int hold(void* arg) {
    CHECK(mtx_lock(arg) == thrd_success);
    sem_wait(&release);
    thrd_sleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    CHECK(mtx_unlock(arg) == thrd_success);
    return 0;
}

static int end_detached(void* arg) {
    CHECK(thrd_detach(thrd_current()) == thrd_success);
    CHECK(mtx_lock(&mutex) == thrd_success);
    turn = *(int*)arg;
    CHECK(cnd_signal(&cond) == thrd_success);
    CHECK(mtx_unlock(&mutex) == thrd_success);
    return 0;
}

int main(void) {
    enum { threads = 20 };
    thrd_t thread[threads];
    CHECK(mtx_init(&mutex, mtx_plain) == thrd_success);
    CHECK(cnd_init(&cond) == thrd_success);
    CHECK(tss_create(&storage, destroy) == thrd_success);
    for (long i = 0; i < threads; i++)
        CHECK(thrd_create(&thread[i], body, (void*)(threads - 1 - i)) == thrd_success);
    int sum = 0, result = 0;
    for (int i = 0; i < threads; i++) {
        CHECK(thrd_join(thread[i], &result) == thrd_success);
        sum += result;
    }
    SHOW_LONG(sum);
    SHOW_LONG(destroyed);
    SHOW_LONG(own);
    SHOW_YES(thrd_equal(thrd_current(), thrd_current()) != 0);

    mtx_t timed, recursive;
    sem_init(&release, 0, 0);
    SHOW_C11(mtx_init(&timed, mtx_timed));
    SHOW_C11(mtx_init(&recursive, mtx_plain | mtx_recursive));
    SHOW_C11(mtx_lock(&recursive));
    SHOW_C11(mtx_lock(&recursive));
    SHOW_C11(mtx_unlock(&recursive));
    SHOW_C11(mtx_unlock(&recursive));
    SHOW_C11(thrd_create(&thread[0], hold, &timed));
    while (mtx_trylock(&timed) == thrd_success) {
        mtx_unlock(&timed);
        thrd_yield();
    }
    struct timespec t;
    timespec_get(&t, TIME_UTC);
    SHOW_C11(mtx_timedlock(&timed, &t));
    sem_post(&release);
    t.tv_sec += 60;
    SHOW_C11(mtx_timedlock(&timed, &t));
    SHOW_C11(mtx_trylock(&timed));
    SHOW_C11(mtx_unlock(&timed));
    SHOW_C11(thrd_join(thread[0], NULL));

    SHOW_C11(mtx_lock(&mutex));
    t = in_ms(CLOCK_REALTIME, 30);
    while ((result = cnd_timedwait(&cond, &mutex, &t)) == thrd_success) {
    }
    puts(name_of(result));
    CHECK(reached(CLOCK_REALTIME, t));
    int last = 1234;
    SHOW_C11(thrd_create(&thread[0], end_detached, &last));
    while (turn != last) CHECK(cnd_wait(&cond, &mutex) == thrd_success);
    SHOW_C11(mtx_unlock(&mutex));

    SHOW_LONG(thrd_sleep(&(struct timespec){.tv_nsec = 1000000}, NULL));
    SHOW_LONG(thrd_sleep(&(struct timespec){.tv_nsec = -1}, NULL) < -1);
    for (int i = 0; i < 4; i++) sem_post(&release);
    for (int i = 0; i < 4; i++) CHECK(thrd_create(&thread[i], hold, &timed) == thrd_success);
    for (int i = 0; i < 4; i++) CHECK(thrd_join(thread[i], NULL) == thrd_success);
    mtx_destroy(&mutex);
    cnd_destroy(&cond);
    tss_delete(storage);
    return 0;
}
