// Many threads that wait: what each takes of memory, whether they cost anything while they do, and
// whether waking one of them gets dearer the more there are. An ordinary program:
//
//     parked COUNT [--stack KIB] [--timers]
//
// COUNT threads wait for a semaphore each; with --timers until an hour has passed, so that each has
// a timer as well. It says "ready" when all of them do. Each line on stdin, a number of turns, is
// answered with the nanoseconds that one took: the first thread wakes another one and waits until
// that has woken it. 64 threads, which lie evenly among all, are woken in turn: few, so that it is
// not the CPU's caches that are measured. It ends, with all its threads, at the end of stdin.
#define _GNU_SOURCE
#include <errno.h>
#include <getopt.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>

#include "common.h"

enum { kWoken = 64 };

typedef struct {
    sem_t wake;
} Place;

static Place* places;
static sem_t done;
static bool timers;
static struct timespec an_hour_from_now;

static void wait_for(sem_t* semaphore) {
    while ((timers ? sem_timedwait(semaphore, &an_hour_from_now) : sem_wait(semaphore)) < 0)
        if (errno != EINTR) die("parked: sem_wait");
}

static void* park(void* argument) {
    Place* mine = argument;
    sem_post(&done);
    for (;;) {
        wait_for(&mine->wake);
        sem_post(&done);
    }
    return NULL;
}

static double wake(size_t count, uint64_t turns) {
    size_t woken = count < kWoken ? count : kWoken;
    uint64_t start = now_ns();
    for (uint64_t i = 0; i < turns; i++) {
        sem_post(&places[i % woken * (count / woken)].wake);
        while (sem_wait(&done) < 0) continue;
    }
    return (double)(now_ns() - start) / (double)turns;
}

int main(int argc, char** argv) {
    static const struct option options[] = {{"stack", required_argument, NULL, 's'},
                                            {"timers", no_argument, NULL, 't'},
                                            {NULL, 0, NULL, 0}};
    size_t stack_kib = 64;
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (option == 's') stack_kib = strtoul(optarg, NULL, 10);
        if (option == 't') timers = true;
        if (option == '?') return 2;
    }
    size_t count = optind < argc ? strtoul(argv[optind], NULL, 10) : 0;
    if (count == 0) return 2;
    clock_gettime(CLOCK_REALTIME, &an_hour_from_now);
    an_hour_from_now.tv_sec += 3600;
    sem_init(&done, 0, 0);
    places = calloc(count, sizeof *places);
    if (!places) die("parked: calloc");

    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    if (stack_kib > 0 && (errno = pthread_attr_setstacksize(&attributes, stack_kib * 1024)) != 0)
        die("parked: pthread_attr_setstacksize");
    for (size_t i = 0; i < count; i++) {
        pthread_t thread;
        sem_init(&places[i].wake, 0, 0);
        if ((errno = pthread_create(&thread, &attributes, park, &places[i])) != 0)
            die("parked: pthread_create");
        while (sem_wait(&done) < 0) continue;
    }
    printf("ready\n");
    fflush(stdout);
    for (uint64_t turns; scanf("%lu", &turns) == 1;) {
        printf("%.1f\n", wake(count, turns));
        fflush(stdout);
    }
    exit(0);
}
