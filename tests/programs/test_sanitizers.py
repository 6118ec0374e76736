#!/usr/bin/python3
"""Programs built with a sanitizer run natively, and one line says so; the undefined-behaviour
sanitizer is no obstacle."""

import os
import shutil

from harness import Skip, folder, main, run, test, write

SOURCE = """
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static int count;
static void* body(void* argument) {
    char* text = malloc(100);
    memset(text, 1, 100);
    usleep(1000);
    pthread_mutex_lock(&mutex);
    count++;
    pthread_mutex_unlock(&mutex);
    free(text);
    return argument;
}
int main(void) {
    pthread_t thread[20];
    for (int i = 0; i < 20; i++) pthread_create(&thread[i], NULL, body, NULL);
    for (int i = 0; i < 20; i++) pthread_join(thread[i], NULL);
    printf("%d\\n", count);
    return 0;
}
"""


def built_with(compiler, sanitizer):
    """A threaded program, or None where the compiler has no such runtime."""
    if not shutil.which(compiler):
        return None
    program = os.path.join(folder(), f"{compiler}-{sanitizer}")
    build = run(compiler, "-g", "-pthread", f"-fsanitize={sanitizer}", "-o", program,
                write("program.c", SOURCE))
    return program if build.status == 0 else None


def runs(program, green):
    assert program.status == 0 and program.output == b"20\n", \
        f"{program}: {program.status}, {program.output}, {program.errors[-1000:]}"
    lines = program.errors.decode().splitlines()
    assert len(lines) == (0 if green else 1), f"{program}: {lines}"
    assert green or ("libgreen: " in lines[0] and "runs natively" in lines[0]), lines[0]


@test(timeout=120)
def sanitized_natively():
    """Those that know the program's threads: never green, never a crash."""
    tried = 0
    for compiler in ("gcc", "clang"):
        for sanitizer in ("address", "thread", "leak", "memory"):
            program = built_with(compiler, sanitizer)
            if program is None:
                continue
            tried += 1
            runs(run(program, green=True), green=False)
    if tried == 0:
        raise Skip("no sanitizer's runtime is installed")


@test()
def sanitized_undefined():
    program = built_with("gcc", "undefined")
    if program is None:
        raise Skip("gcc has no libubsan here")
    checked = run(program, green=True)
    runs(checked, green=True)
    checked.check_green(threads=20)


if __name__ == "__main__":
    main()
