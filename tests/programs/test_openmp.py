"""A program whose runtime waits behind libc's back.

GNU OpenMP's threads wait with futex(2) calls that no hook can see. On one kernel thread the first of
them would stop the process for ever, so the library steps back before the first thread is made: the
program runs natively, which is said once. Where green threads are there already those calls are
caught.
"""

import os
import subprocess

from harness import LIBRARY, Skip, folder, main, test, write

COMPILER = ["gcc", "-fopenmp", "-pthread", "-O1"]

SOURCE = """
#include <stdio.h>
int main(void) {
    double sum = 0;
    for (int round = 0; round < 50; round++) {
#pragma omp parallel for reduction(+ : sum) num_threads(4)
        for (int i = 0; i < 100000; i++) sum += i * 0.5;
    }
    printf("%.0f\\n", sum);
    return 0;
}
"""

SOURCE_WITH_THREAD = """
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>
static int stop;
static void* tick(void* argument) {
    while (!__atomic_load_n(&stop, __ATOMIC_SEQ_CST)) usleep(1000);
    return argument;
}
int main(void) {
    pthread_t thread;
    double sum = 0;
    pthread_create(&thread, NULL, tick, NULL);
    for (int round = 0; round < 20; round++) {
#pragma omp parallel for reduction(+ : sum) num_threads(4)
        for (int i = 0; i < 100000; i++) sum += i * 0.5;
#pragma omp parallel num_threads(3)
        {
#pragma omp critical
            sum += 1;
#pragma omp barrier
#pragma omp single
            usleep(100);
        }
    }
    __atomic_store_n(&stop, 1, __ATOMIC_SEQ_CST);
    pthread_join(thread, NULL);
    printf("%.0f\\n", sum);
    return 0;
}
"""


def both(name, source, env):
    """A program, compiled and run natively and green."""
    if not os.path.exists(LIBRARY):
        raise Skip(f"no {LIBRARY}")
    path = os.path.join(folder(), name)
    subprocess.run([*COMPILER, write(f"{name}.c", source), "-o", path], check=True)
    return [subprocess.run([path], check=True, capture_output=True, timeout=60, env=more)
            for more in (None, {**os.environ, "LD_PRELOAD": LIBRARY, **env})]


@test()
def openmp_beside_green_threads():
    stats = os.path.join(folder(), "stats")
    native, green = both("openmp_thread", SOURCE_WITH_THREAD, {"GREEN_STATS": stats})
    assert green.stdout == native.stdout, (green.stdout, native.stdout)
    assert green.stderr == b"", green.stderr
    with open(stats, encoding="utf-8") as file:
        counters = dict(line.split(maxsplit=1) for line in file if len(line.split()) > 1)
    assert int(counters["threads_made"]) >= 4 and int(counters["kernel_threads"]) == 1, counters


@test()
def openmp_runs_natively():
    native, green = both("openmp", SOURCE, {})
    assert green.stdout == native.stdout, (green.stdout, native.stdout)
    lines = green.stderr.decode().splitlines()
    assert len(lines) == 1 and "runs natively" in lines[0] and "libgomp" in lines[0], lines


main()
