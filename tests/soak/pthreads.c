/* Thousands of threads do random things with everything pthreads has, and a model of each object
 * is checked at every step: who holds a mutex, how many read, how many tokens are out, what lies
 * in the queue, which values thread-specific data must free, how often an initialisation ran.
 *
 *     pthreads [THREADS [SECONDS [SEED]]]
 *
 * Slots of THREADS workers belong to a few gardeners. A worker makes some dozens of random steps on
 * the objects of its cell, which a dozen others use as well, and ends: it returns, calls
 * pthread_exit, dies with a robust mutex in its hands, or its gardener cancels it wherever it is.
 * The gardener joins it (in all the ways there are) and plants the next one; meanwhile it throws
 * signals at its workers. When the time is over everything is cancelled and joined, and the books
 * must balance. A failed check says where and ends the process with status 1.
 *
 * Each thread's choices come from the seed, its slot and its generation, so a run can be repeated
 * as far as the scheduler repeats it: green, that is far. */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { cell_workers = 12, mutexes = 5, ring_size = 6, tokens = 3, onces = 16, keys = 24 };
enum { gardeners = 8, children_most = 2000 };

#define CHECK(condition) ((condition) ? (void)0 : failed(__LINE__, #condition, errno))

__attribute__((noreturn)) static void failed(int line, const char* what, int error) {
    char text[300];
    int size = snprintf(text, sizeof text, "pthreads.c:%d: %s (errno %d)\n", line, what, error);
    if (write(2, text, (size_t)size) < 0) _exit(2);
    if (getenv("SOAK_ABORT")) abort();
    _exit(1);
}

struct once {
    pthread_once_t control;
    atomic_int runs;
};

struct cell {
    pthread_mutex_t mutex[mutexes];
    const void* owner[mutexes];
    long guarded[mutexes][2];
    pthread_rwlock_t rwlock;
    atomic_int readers, writers;
    sem_t sem;
    atomic_int tokens_out;
    pthread_mutex_t queue_mutex;
    pthread_cond_t not_empty, not_full; /* the second by CLOCK_MONOTONIC */
    const void* queue_owner;
    unsigned ring[ring_size];
    int used;
    uint64_t put, taken;
    struct once once[onces];
};

struct worker {
    pthread_t thread;
    uint64_t random;
    struct cell* cell;
    int detached;
    sem_t ended; /* of a detached one */
    atomic_int signals;
    atomic_long queued_sent, queued_received;
};

static struct cell* cells;
static struct worker* workers;
static int worker_count = 200, seconds = 10;
static uint64_t seed = 1;
static atomic_int stopping;
static atomic_long steps, children, values_made, values_freed, threads_made, cancels;
static pthread_key_t key[keys];
static __thread struct worker* me; /* a child's is null */
static __thread struct once* initialising;
static __thread volatile int handled_here;

static uint64_t mix(uint64_t x) {
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}
static unsigned below(uint64_t* random, unsigned bound) {
    *random = mix(*random);
    return (unsigned)(*random >> 33) % bound;
}

static struct timespec in_us(clockid_t clock, unsigned us) {
    struct timespec t;
    clock_gettime(clock, &t);
    t.tv_nsec += (long)us * 1000;
    t.tv_sec += t.tv_nsec / 1000000000;
    t.tv_nsec %= 1000000000;
    return t;
}
static int passed(clockid_t clock, const struct timespec* t) {
    struct timespec now;
    clock_gettime(clock, &now);
    return now.tv_sec > t->tv_sec || (now.tv_sec == t->tv_sec && now.tv_nsec >= t->tv_nsec);
}

/* Time passes, in one of the ways in which it can: most are cancellation points. */
static void jitter(uint64_t* random) {
    struct timespec t = {0, 0};
    switch (below(random, 10)) {
        case 0:
            sched_yield();
            break;
        case 1:
            usleep(below(random, 300));
            break;
        case 2:
            t.tv_nsec = below(random, 2000000);
            nanosleep(&t, NULL);
            break;
        case 3:
            pthread_testcancel();
            break;
        case 4:
            poll(NULL, 0, (int)below(random, 2));
            break;
        case 5:
            for (volatile unsigned i = below(random, 3000); i > 0; i--) {
            }
            break;
        case 6:
            t = in_us(CLOCK_MONOTONIC, below(random, 1000));
            clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
            break;
        default:
            break;
    }
}

static void* value_of(uint64_t random) { return (void*)(uintptr_t)(mix(random) | 1); }

/* ---- mutexes: normal, recursive, errorcheck, robust, priority-inheriting --------------------- */

struct held {
    struct cell* cell;
    int which, depth;
};

static void release_mutex(void* argument) {
    struct held* h = argument;
    struct cell* c = h->cell;
    CHECK(c->owner[h->which] == h);
    CHECK(c->guarded[h->which][0] == c->guarded[h->which][1]);
    c->owner[h->which] = NULL;
    for (; h->depth > 0; h->depth--) CHECK(pthread_mutex_unlock(&c->mutex[h->which]) == 0);
}

static int lock_somehow(pthread_mutex_t* m, uint64_t* random) {
    struct timespec t;
    switch (below(random, 6)) {
        case 0:
            return pthread_mutex_trylock(m);
        case 1:
            t = in_us(CLOCK_REALTIME, below(random, 5000));
            return pthread_mutex_timedlock(m, &t);
        case 2:
            t = in_us(CLOCK_MONOTONIC, below(random, 5000));
            return pthread_mutex_clocklock(m, CLOCK_MONOTONIC, &t);
        default:
            return pthread_mutex_lock(m);
    }
}

static void mutex_step(struct cell* c, uint64_t* random) {
    struct held h = {c, (int)below(random, mutexes), 1};
    pthread_mutex_t* m = &c->mutex[h.which];
    int error = lock_somehow(m, random);
    if (error == EBUSY || error == ETIMEDOUT) return;
    if (error == EOWNERDEAD) {
        CHECK(h.which == 3 && pthread_mutex_consistent(m) == 0);
        c->owner[3] = NULL; /* it died in here */
        c->guarded[3][1] = c->guarded[3][0];
        error = 0;
    }
    CHECK(error == 0);
    CHECK(c->owner[h.which] == NULL);
    c->owner[h.which] = &h;
    if (h.which == 1 && below(random, 2) == 0) {
        CHECK(pthread_mutex_lock(m) == 0);
        h.depth = 2;
    }
    if (h.which == 2) CHECK(pthread_mutex_lock(m) == EDEADLK);
    pthread_cleanup_push(release_mutex, &h);
    c->guarded[h.which][0]++;
    if (h.which == 3 && me != NULL && below(random, 40) == 0) {
        /* Ends with the mutex in its hands: the cleanup must not run. */
        h.depth = 0;
        pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
        c->owner[3] = &h;
        jitter(random);
        c->guarded[3][1]++;
        pthread_exit(NULL);
    }
    c->guarded[h.which][1]++;
    jitter(random);
    CHECK(c->owner[h.which] == &h);
    pthread_cleanup_pop(1);
    if (h.which == 2) CHECK(pthread_mutex_unlock(m) == EPERM);
}

/* ---- read-write locks and semaphores --------------------------------------------------------- */

static void release_reader(void* argument) {
    struct cell* c = argument;
    CHECK(atomic_load(&c->writers) == 0);
    atomic_fetch_sub(&c->readers, 1);
    CHECK(pthread_rwlock_unlock(&c->rwlock) == 0);
}
static void release_writer(void* argument) {
    struct cell* c = argument;
    CHECK(atomic_load(&c->readers) == 0 && atomic_load(&c->writers) == 1);
    atomic_store(&c->writers, 0);
    CHECK(pthread_rwlock_unlock(&c->rwlock) == 0);
}

static void rwlock_step(struct cell* c, uint64_t* random) {
    int writes = below(random, 3) == 0, how = (int)below(random, 4);
    struct timespec t = in_us(CLOCK_REALTIME, below(random, 3000));
    pthread_rwlock_t* l = &c->rwlock;
    int error = 0;
    if (how == 0) error = writes ? pthread_rwlock_trywrlock(l) : pthread_rwlock_tryrdlock(l);
    if (how == 1)
        error = writes ? pthread_rwlock_timedwrlock(l, &t) : pthread_rwlock_timedrdlock(l, &t);
    if (how >= 2) error = writes ? pthread_rwlock_wrlock(l) : pthread_rwlock_rdlock(l);
    if (error == EBUSY) return;
    if (error == ETIMEDOUT) {
        CHECK(passed(CLOCK_REALTIME, &t));
        return;
    }
    CHECK(error == 0);
    if (writes) {
        CHECK(atomic_load(&c->readers) == 0 && atomic_exchange(&c->writers, 1) == 0);
        pthread_cleanup_push(release_writer, c);
        jitter(random);
        pthread_cleanup_pop(1);
    } else {
        atomic_fetch_add(&c->readers, 1);
        CHECK(atomic_load(&c->writers) == 0);
        pthread_cleanup_push(release_reader, c);
        jitter(random);
        pthread_cleanup_pop(1);
    }
}

static void release_token(void* argument) {
    struct cell* c = argument;
    CHECK(atomic_fetch_sub(&c->tokens_out, 1) >= 1);
    CHECK(sem_post(&c->sem) == 0);
}

static void sem_step(struct cell* c, uint64_t* random) {
    struct timespec t = in_us(CLOCK_REALTIME, below(random, 3000));
    int how = (int)below(random, 4), r;
    do {
        r = how == 0   ? sem_trywait(&c->sem)
            : how == 1 ? sem_timedwait(&c->sem, &t)
                       : sem_wait(&c->sem);
    } while (r != 0 && errno == EINTR);
    if (r != 0) {
        CHECK((how == 0 && errno == EAGAIN) || (how == 1 && errno == ETIMEDOUT));
        if (how == 1) CHECK(passed(CLOCK_REALTIME, &t));
        return;
    }
    CHECK(atomic_fetch_add(&c->tokens_out, 1) < tokens);
    pthread_cleanup_push(release_token, c);
    jitter(random);
    pthread_cleanup_pop(1);
}

/* ---- a bounded queue with two condition variables -------------------------------------------- */

static void release_queue(void* argument) {
    struct cell* c = argument;
    CHECK(c->queue_owner == NULL || c->queue_owner == &argument);
    c->queue_owner = NULL;
    CHECK(c->used >= 0 && c->used <= ring_size);
    CHECK(pthread_mutex_unlock(&c->queue_mutex) == 0);
}

/* False if the queue stayed full, or empty. Whoever waits does not own the queue meanwhile. */
static int wait_for_queue(struct cell* c, int puts, uint64_t* random) {
    int timed = below(random, 3) == 0;
    clockid_t clock = puts ? CLOCK_MONOTONIC : CLOCK_REALTIME;
    struct timespec t = in_us(clock, below(random, 20000));
    while (puts ? c->used == ring_size : c->used == 0) {
        if (atomic_load(&stopping)) return 0;
        pthread_cond_t* cond = puts ? &c->not_full : &c->not_empty;
        int error = timed ? pthread_cond_timedwait(cond, &c->queue_mutex, &t)
                          : pthread_cond_wait(cond, &c->queue_mutex);
        CHECK(c->queue_owner == NULL);
        if (error == ETIMEDOUT) {
            CHECK(timed && passed(clock, &t));
            return 0;
        }
        CHECK(error == 0);
    }
    return 1;
}

static void queue_step(struct cell* c, uint64_t* random) {
    int puts = below(random, 2) == 0;
    CHECK(pthread_mutex_lock(&c->queue_mutex) == 0);
    CHECK(c->queue_owner == NULL);
    pthread_cleanup_push(release_queue, c);
    if (wait_for_queue(c, puts, random)) {
        c->queue_owner = random;
        if (puts) {
            unsigned item = below(random, 1000000);
            c->ring[c->used++] = item;
            c->put += item;
        } else {
            c->taken += c->ring[--c->used];
        }
        int before = c->used;
        if (below(random, 4) == 0) sched_yield();
        CHECK(c->queue_owner == random && c->used == before);
        c->queue_owner = NULL;
        pthread_cond_t* cond = puts ? &c->not_empty : &c->not_full;
        CHECK((below(random, 8) == 0 ? pthread_cond_broadcast(cond) : pthread_cond_signal(cond)) ==
              0);
    }
    pthread_cleanup_pop(1);
}

/* ---- once, keys ------------------------------------------------------------------------------ */

static void initialise(void) {
    struct once* mine = initialising;
    uint64_t random = (uint64_t)(uintptr_t)mine;
    jitter(&random);
    usleep(200); /* a cancelled initialisation was none */
    CHECK(atomic_fetch_add(&mine->runs, 1) == 0);
}

static void once_step(struct cell* c, uint64_t* random) {
    struct once* o = &c->once[below(random, onces)];
    struct once* outer = initialising;
    initialising = o;
    CHECK(pthread_once(&o->control, initialise) == 0);
    initialising = outer;
    CHECK(atomic_load(&o->runs) == 1);
}

static void destroy_value(void* value) {
    unsigned* words = value;
    CHECK(words[0] == 0xabcdef01);
    if (words[1]-- > 0) { /* once more, in the next round */
        CHECK(pthread_setspecific(key[words[2]], value) == 0);
        return;
    }
    words[0] = 0;
    free(value);
    atomic_fetch_add(&values_freed, 1);
}

static void key_step(uint64_t* random) {
    unsigned k = below(random, keys);
    unsigned* old = pthread_getspecific(key[k]);
    if (old != NULL) {
        CHECK(old[0] == 0xabcdef01 && old[2] == k);
        if (below(random, 2) == 0) return;
        CHECK(pthread_setspecific(key[k], NULL) == 0);
        old[1] = 0;
        destroy_value(old);
    }
    unsigned* fresh = malloc((3 + below(random, 60)) * sizeof *fresh);
    CHECK(fresh != NULL);
    fresh[0] = 0xabcdef01;
    fresh[1] = below(random, 3);
    fresh[2] = k;
    atomic_fetch_add(&values_made, 1);
    CHECK(pthread_setspecific(key[k], fresh) == 0);
}

/* ---- children: join, detach, cancel, barriers, pipes ----------------------------------------- */

struct child {
    pthread_t thread;
    uint64_t random;
    struct cell* cell;
    pthread_barrier_t* barrier;
    atomic_int* serials;
    int rounds, in, out; /* descriptors */
};

static void child_gone(void* unused) {
    (void)unused;
    atomic_fetch_sub(&children, 1);
}

static int make_thread(pthread_t* thread, int detached, void* (*body)(void*), void* argument,
                       uint64_t* random) {
    static const size_t sizes[] = {32768, 65536, 131072, 262144};
    pthread_attr_t attr;
    CHECK(pthread_attr_init(&attr) == 0);
    CHECK(pthread_attr_setstacksize(&attr, sizes[below(random, 4)]) == 0);
    if (detached) CHECK(pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED) == 0);
    int error = pthread_create(thread, &attr, body, argument);
    pthread_attr_destroy(&attr);
    CHECK(error == 0 || error == EAGAIN);
    if (error == 0) atomic_fetch_add(&threads_made, 1);
    return error == 0;
}

static int may_have_children(void) { return atomic_load(&children) < children_most; }

static int spawn(struct child* c, int detached, void* (*body)(void*), uint64_t* random) {
    atomic_fetch_add(&children, 1);
    c->random = mix(*random);
    if (make_thread(&c->thread, detached, body, c, random)) return 1;
    atomic_fetch_sub(&children, 1);
    return 0;
}

static void* plain_child(void* argument) {
    struct child* c = argument;
    uint64_t random = c->random;
    void* result = value_of(random);
    pthread_cleanup_push(child_gone, NULL);
    for (unsigned n = below(&random, 4); n > 0; n--) {
        jitter(&random);
        key_step(&random);
        mutex_step(c->cell, &random);
    }
    pthread_cleanup_pop(1);
    return result;
}

static void* detached_child(void* argument) {
    plain_child(argument);
    free(argument);
    return NULL;
}

static void* spinning_child(void* argument) {
    (void)argument;
    volatile unsigned long spins = 0;
    int old;
    pthread_cleanup_push(child_gone, NULL);
    pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &old);
    for (;;) spins++;
    pthread_cleanup_pop(0);
    return NULL;
}

static void* barrier_child(void* argument) {
    struct child* c = argument;
    for (int i = 0; i < c->rounds; i++) {
        jitter(&c->random);
        int r = pthread_barrier_wait(c->barrier);
        CHECK(r == 0 || r == PTHREAD_BARRIER_SERIAL_THREAD);
        if (r != 0) atomic_fetch_add(c->serials, 1);
    }
    child_gone(NULL);
    return NULL;
}

/* Copies what comes, until the end. */
static void* pipe_child(void* argument) {
    struct child* c = argument;
    char buffer[3000];
    for (;;) {
        ssize_t n = read(c->in, buffer, 1 + below(&c->random, sizeof buffer - 1));
        if (n < 0 && errno == EINTR) continue;
        CHECK(n >= 0);
        if (n == 0) break;
        for (ssize_t done = 0; done < n;) {
            ssize_t w = write(c->out, buffer + done, (size_t)(n - done));
            if (w < 0 && errno == EINTR) continue;
            CHECK(w > 0);
            done += w;
        }
    }
    CHECK(close(c->in) == 0 && close(c->out) == 0);
    child_gone(NULL);
    return NULL;
}

static void join_it(void* argument) {
    struct child* c = argument;
    CHECK(pthread_join(c->thread, NULL) == 0);
}

static void join_step(struct cell* cell, uint64_t* random) {
    struct child c = {.cell = cell};
    int cancel = below(random, 3) == 0, how = (int)below(random, 4);
    if (!may_have_children() || !spawn(&c, 0, plain_child, random)) return;
    void* result = NULL;
    pthread_cleanup_push(join_it, &c);
    if (below(random, 2) == 0) jitter(random);
    if (cancel) CHECK(pthread_cancel(c.thread) == 0);
    struct timespec t = in_us(CLOCK_REALTIME, below(random, 2000));
    int error = how == 0   ? pthread_tryjoin_np(c.thread, &result)
                : how == 1 ? pthread_timedjoin_np(c.thread, &result, &t)
                           : pthread_join(c.thread, &result);
    if (how < 2 && error != 0) {
        CHECK(error == (how == 0 ? EBUSY : ETIMEDOUT));
        error = pthread_join(c.thread, &result);
    }
    CHECK(error == 0);
    pthread_cleanup_pop(0);
    CHECK(result == value_of(c.random) || (cancel && result == PTHREAD_CANCELED));
}

static void detach_step(struct cell* cell, uint64_t* random) {
    if (!may_have_children()) return;
    struct child* c = malloc(sizeof *c);
    CHECK(c != NULL);
    *c = (struct child){.cell = cell};
    int born = below(random, 2) == 0;
    int state; /* between the creation and the detaching nobody else would do it */
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    atomic_fetch_add(&children, 1);
    c->random = mix(*random);
    pthread_t thread;
    if (make_thread(&thread, born, detached_child, c, random)) {
        if (!born) {
            jitter(random);
            CHECK(pthread_detach(thread) == 0);
        }
    } else {
        child_gone(NULL);
        free(c);
    }
    pthread_setcancelstate(state, NULL);
}

static void async_step(uint64_t* random) {
    struct child c = {0};
    int state;
    if (below(random, 20) != 0 || !may_have_children()) return;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    if (spawn(&c, 0, spinning_child, random)) {
        void* result = NULL;
        jitter(random);
        CHECK(pthread_cancel(c.thread) == 0);
        CHECK(pthread_join(c.thread, &result) == 0);
        CHECK(result == PTHREAD_CANCELED);
    }
    pthread_setcancelstate(state, NULL);
}

static void barrier_step(uint64_t* random) {
    struct child c[4];
    pthread_barrier_t barrier;
    atomic_int serials = 0;
    int count = 1 + (int)below(random, 4), rounds = 1 + (int)below(random, 4), made = 0, state;
    if (!may_have_children()) return;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    CHECK(pthread_barrier_init(&barrier, NULL, (unsigned)count) == 0);
    for (; made < count; made++) {
        c[made] = (struct child){.barrier = &barrier, .serials = &serials, .rounds = rounds};
        while (!spawn(&c[made], 0, barrier_child, random)) usleep(1000);
    }
    for (int i = 0; i < made; i++) CHECK(pthread_join(c[i].thread, NULL) == 0);
    CHECK(atomic_load(&serials) == rounds);
    CHECK(pthread_barrier_destroy(&barrier) == 0);
    pthread_setcancelstate(state, NULL);
}

static void pipe_step(uint64_t* random) {
    struct child c = {0};
    int to[2], from[2], state;
    if (!may_have_children() || pipe(to) != 0) return;
    if (pipe(from) != 0) {
        close(to[0]);
        close(to[1]);
        return;
    }
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    c.in = to[0];
    c.out = from[1];
    if (spawn(&c, 0, pipe_child, random)) {
        unsigned char data[2000], back[2000];
        size_t size = 1 + below(random, sizeof data - 1), got = 0;
        for (size_t i = 0; i < size; i++) data[i] = (unsigned char)below(random, 256);
        ssize_t n = write(to[1], data, size); /* less than PIPE_BUF: whole, or not at all */
        while (n < 0 && errno == EINTR) n = write(to[1], data, size);
        CHECK(n == (ssize_t)size && close(to[1]) == 0);
        while (got <= size) {
            n = read(from[0], back + got, sizeof back - got);
            if (n < 0 && errno == EINTR) continue;
            CHECK(n >= 0);
            if (n == 0) break;
            got += (size_t)n;
        }
        CHECK(got == size && memcmp(data, back, size) == 0);
        CHECK(pthread_join(c.thread, NULL) == 0 && close(from[0]) == 0);
    } else {
        for (int i = 0; i < 2; i++) CHECK(close(to[i]) == 0 && close(from[i]) == 0);
    }
    pthread_setcancelstate(state, NULL);
}

/* ---- signals --------------------------------------------------------------------------------- */

static void on_signal(int number) {
    int saved = errno;
    (void)number;
    handled_here++;
    if (me != NULL) atomic_fetch_add(&me->signals, 1);
    sched_yield();
    errno = saved;
}

static void on_queued(int number, siginfo_t* info, void* context) {
    (void)number, (void)context;
    CHECK(info->si_code == SI_QUEUE && info->si_value.sival_int == 4711);
    if (me != NULL) atomic_fetch_add(&me->queued_received, 1);
}

/* Blocked, sent to oneself, pending, taken by sigtimedwait or by the handler, exactly once. */
static void signal_step(uint64_t* random) {
    int number = SIGRTMIN + 2, takes = below(random, 2) == 0;
    sigset_t set, old, pending;
    sigemptyset(&set);
    sigaddset(&set, number);
    CHECK(pthread_sigmask(SIG_BLOCK, &set, &old) == 0);
    CHECK(pthread_kill(pthread_self(), number) == 0);
    if (below(random, 3) == 0) sched_yield();
    CHECK(sigpending(&pending) == 0 && sigismember(&pending, number));
    if (takes) {
        struct timespec none = {0, 0};
        siginfo_t info;
        int r = sigtimedwait(&set, &info, &none);
        CHECK(r == number && info.si_signo == number);
        CHECK(sigpending(&pending) == 0 && !sigismember(&pending, number));
        CHECK(pthread_sigmask(SIG_SETMASK, &old, NULL) == 0);
    } else {
        sigset_t all, others;
        sigfillset(&all); /* so that no other handler counts */
        CHECK(pthread_sigmask(SIG_BLOCK, &all, &others) == 0);
        int before = handled_here;
        sigdelset(&all, number);
        CHECK(pthread_sigmask(SIG_SETMASK, &all, NULL) == 0);
        CHECK(handled_here == before + 1);
        CHECK(pthread_sigmask(SIG_SETMASK, &old, NULL) == 0);
    }
}

/* ---- workers and gardeners ------------------------------------------------------------------- */

static void worker_gone(void* argument) {
    struct worker* w = argument;
    if (w->detached) CHECK(sem_post(&w->ended) == 0);
}

static void step(struct cell* c, uint64_t* random) {
    switch (below(random, 16)) {
        case 0:
        case 1:
        case 2:
            return mutex_step(c, random);
        case 3:
        case 4:
            return rwlock_step(c, random);
        case 5:
        case 6:
            return sem_step(c, random);
        case 7:
        case 8:
        case 9:
            return queue_step(c, random);
        case 10:
            return below(random, 2) == 0 ? once_step(c, random) : async_step(random);
        case 11:
            return key_step(random);
        case 12:
            return below(random, 2) == 0 ? join_step(c, random) : detach_step(c, random);
        case 13:
            return below(random, 2) == 0 ? barrier_step(random) : pipe_step(random);
        case 14:
            return signal_step(random);
        default:
            return jitter(random);
    }
}

static void* work(void* argument) {
    struct worker* w = me = argument;
    uint64_t random = w->random;
    pthread_cleanup_push(worker_gone, w);
    for (unsigned n = below(&random, 60); n > 0 && !atomic_load(&stopping); n--) {
        step(w->cell, &random);
        atomic_fetch_add(&steps, 1);
    }
    if (below(&random, 3) == 0) pthread_exit(value_of(w->random));
    pthread_cleanup_pop(1);
    return value_of(w->random);
}

static void plant(struct worker* w, uint64_t* random) {
    w->random = mix(*random);
    w->detached = below(random, 8) == 0;
    atomic_store(&w->queued_sent, 0);
    atomic_store(&w->queued_received, 0);
    CHECK(sem_init(&w->ended, 0, 0) == 0);
    while (!make_thread(&w->thread, w->detached, work, w, random)) usleep(1000);
}

static void disturb(struct worker* w, uint64_t* random) {
    union sigval value = {.sival_int = 4711};
    switch (below(random, 4)) {
        case 0:
            CHECK(pthread_kill(w->thread, SIGUSR1) == 0);
            break;
        case 1:
            CHECK(pthread_kill(w->thread, SIGUSR2) == 0);
            break;
        case 2:
            if (pthread_sigqueue(w->thread, SIGRTMIN + 1, value) == 0)
                atomic_fetch_add(&w->queued_sent, 1);
            break;
        default:
            CHECK(pthread_kill(w->thread, 0) == 0);
            break;
    }
}

static void harvest(struct worker* w, uint64_t* random) {
    int cancelled = 0, error = EBUSY;
    void* result = NULL;
    if (w->detached) { /* its pthread_t may be another's by now */
        while (sem_wait(&w->ended) != 0) CHECK(errno == EINTR);
    } else {
        if (atomic_load(&stopping) || below(random, 3) == 0) {
            CHECK(pthread_cancel(w->thread) == 0);
            atomic_fetch_add(&cancels, 1);
            cancelled = 1;
        }
        if (below(random, 4) == 0) error = pthread_tryjoin_np(w->thread, &result);
        CHECK(error == 0 || error == EBUSY);
        if (error == EBUSY) CHECK(pthread_join(w->thread, &result) == 0);
        CHECK(result == NULL || result == value_of(w->random) ||
              (cancelled && result == PTHREAD_CANCELED));
    }
    CHECK(atomic_load(&w->queued_received) <= atomic_load(&w->queued_sent));
    CHECK(sem_destroy(&w->ended) == 0);
}

static void* garden(void* argument) {
    int mine = (int)(intptr_t)argument;
    uint64_t random = mix(seed * 1000 + (uint64_t)mine);
    int count = (worker_count - mine + gardeners - 1) / gardeners;
    for (int i = mine; i < worker_count; i += gardeners) plant(&workers[i], &random);
    while (!atomic_load(&stopping)) {
        struct worker* w = &workers[mine + (int)below(&random, (unsigned)count) * gardeners];
        for (unsigned n = below(&random, 4); n > 0; n--)
            if (!w->detached) disturb(w, &random);
        if (below(&random, 4) == 0) usleep(below(&random, 200));
        /* One that waits in the queue of its cell might never end by itself. */
        if (w->detached && below(&random, 2) == 0) continue;
        if (w->detached) {
            pthread_cond_broadcast(&w->cell->not_empty);
            if (sem_trywait(&w->ended) != 0) continue;
            CHECK(sem_post(&w->ended) == 0);
        } else if (below(&random, 3) == 0) {
            CHECK(pthread_cancel(w->thread) == 0);
            void* result;
            CHECK(pthread_join(w->thread, &result) == 0);
            CHECK(result == NULL || result == value_of(w->random) || result == PTHREAD_CANCELED);
            CHECK(sem_destroy(&w->ended) == 0);
            atomic_fetch_add(&cancels, 1);
            plant(w, &random);
            continue;
        } else {
            void* result;
            struct timespec t = in_us(CLOCK_REALTIME, 3000);
            int error = pthread_timedjoin_np(w->thread, &result, &t);
            CHECK(error == 0 || (error == ETIMEDOUT && passed(CLOCK_REALTIME, &t)));
            if (error != 0) continue;
            CHECK(result == NULL || result == value_of(w->random));
            CHECK(sem_destroy(&w->ended) == 0);
            plant(w, &random);
            continue;
        }
        harvest(w, &random);
        plant(w, &random);
    }
    return NULL;
}

static void make_cell(struct cell* c, uint64_t random) {
    static const int kinds[] = {PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_RECURSIVE,
                                PTHREAD_MUTEX_ERRORCHECK};
    for (int i = 0; i < mutexes; i++) {
        pthread_mutexattr_t attr;
        CHECK(pthread_mutexattr_init(&attr) == 0);
        if (i < 3) CHECK(pthread_mutexattr_settype(&attr, kinds[i]) == 0);
        if (i == 3) CHECK(pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST) == 0);
        if (i == 4) CHECK(pthread_mutexattr_setprotocol(&attr, PTHREAD_PRIO_INHERIT) == 0);
        CHECK(pthread_mutex_init(&c->mutex[i], &attr) == 0);
    }
    pthread_rwlockattr_t rw;
    pthread_rwlockattr_init(&rw);
    pthread_rwlockattr_setkind_np(&rw, random % 2 ? PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP
                                                  : PTHREAD_RWLOCK_PREFER_READER_NP);
    CHECK(pthread_rwlock_init(&c->rwlock, &rw) == 0);
    CHECK(sem_init(&c->sem, 0, tokens) == 0);
    CHECK(pthread_mutex_init(&c->queue_mutex, NULL) == 0);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    CHECK(pthread_cond_init(&c->not_empty, NULL) == 0);
    CHECK(pthread_cond_init(&c->not_full, &monotonic) == 0);
}

static void check_cell(struct cell* c) {
    uint64_t left = 0;
    for (int i = 0; i < mutexes; i++) {
        int error = pthread_mutex_trylock(&c->mutex[i]);
        CHECK(error == 0 || (i == 3 && error == EOWNERDEAD));
        CHECK(c->owner[i] == NULL || error == EOWNERDEAD);
        if (error != 0) CHECK(pthread_mutex_consistent(&c->mutex[i]) == 0);
        CHECK(pthread_mutex_unlock(&c->mutex[i]) == 0 && pthread_mutex_destroy(&c->mutex[i]) == 0);
    }
    CHECK(pthread_rwlock_trywrlock(&c->rwlock) == 0 && pthread_rwlock_unlock(&c->rwlock) == 0);
    CHECK(atomic_load(&c->readers) == 0 && atomic_load(&c->writers) == 0);
    int value = 0;
    CHECK(sem_getvalue(&c->sem, &value) == 0 && value == tokens);
    for (int i = 0; i < c->used; i++) left += c->ring[i];
    CHECK(c->put == c->taken + left);
    CHECK(pthread_mutex_trylock(&c->queue_mutex) == 0);
    for (int i = 0; i < onces; i++) CHECK(atomic_load(&c->once[i].runs) <= 1);
}

static void handle(int number, int flags, void* handler) {
    struct sigaction action = {.sa_flags = flags};
    action.sa_handler = (void (*)(int))handler;
    sigemptyset(&action.sa_mask);
    CHECK(sigaction(number, &action, NULL) == 0);
}

int main(int count, char** arguments) {
    if (count > 1) worker_count = atoi(arguments[1]);
    if (count > 2) seconds = atoi(arguments[2]);
    if (count > 3) seed = strtoull(arguments[3], NULL, 0);
    fprintf(stderr, "seed %llu, %d threads, %d s\n", (unsigned long long)seed, worker_count,
            seconds);
    int cell_count = (worker_count + cell_workers - 1) / cell_workers;
    cells = calloc((size_t)cell_count, sizeof *cells);
    workers = calloc((size_t)worker_count, sizeof *workers);
    CHECK(cells != NULL && workers != NULL);
    for (int i = 0; i < cell_count; i++) make_cell(&cells[i], mix(seed + (uint64_t)i));
    for (int i = 0; i < worker_count; i++) workers[i].cell = &cells[i / cell_workers];
    for (int i = 0; i < keys; i++) CHECK(pthread_key_create(&key[i], destroy_value) == 0);
    handle(SIGUSR1, 0, on_signal);
    handle(SIGUSR2, SA_RESTART, on_signal);
    handle(SIGRTMIN + 1, SA_SIGINFO | SA_RESTART, on_queued);
    handle(SIGRTMIN + 2, SA_RESTART, on_signal);

    pthread_t gardener[gardeners];
    for (intptr_t i = 0; i < gardeners; i++)
        CHECK(pthread_create(&gardener[i], NULL, garden, (void*)i) == 0);
    sleep((unsigned)seconds);
    atomic_store(&stopping, 1);
    for (int i = 0; i < gardeners; i++) CHECK(pthread_join(gardener[i], NULL) == 0);
    uint64_t random = mix(seed);
    for (int i = 0; i < worker_count; i++) {
        pthread_mutex_lock(&workers[i].cell->queue_mutex);
        pthread_cond_broadcast(&workers[i].cell->not_empty);
        pthread_cond_broadcast(&workers[i].cell->not_full);
        pthread_mutex_unlock(&workers[i].cell->queue_mutex);
        harvest(&workers[i], &random);
    }
    while (atomic_load(&children) != 0) usleep(1000);
    usleep(300000); /* detached ones have left their count, now they end */
    for (int i = 0; i < 100 && atomic_load(&values_made) != atomic_load(&values_freed); i++)
        usleep(50000);
    CHECK(atomic_load(&values_made) == atomic_load(&values_freed));
    for (int i = 0; i < cell_count; i++) check_cell(&cells[i]);
    fprintf(stderr, "%ld steps, %ld threads made, %ld cancelled\n", atomic_load(&steps),
            atomic_load(&threads_made), atomic_load(&cancels));
    puts("the books balance");
    return 0;
}
