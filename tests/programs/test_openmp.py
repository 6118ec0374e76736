"""A program whose runtime waits behind libc's back: it must run natively and say why, once.

GNU OpenMP's threads wait with futex(2) calls that no hook can see. On one kernel thread the first of
them would stop the process for ever, so the library steps back before the first thread is made.
"""

import os
import subprocess

from harness import LIBRARY, Skip, folder, main, test, write

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


@test()
def openmp_runs_natively():
    if not os.path.exists(LIBRARY):
        raise Skip(f"no {LIBRARY}")
    path = os.path.join(folder(), "openmp")
    subprocess.run(["gcc", "-fopenmp", write("openmp.c", SOURCE), "-o", path], check=True)
    native = subprocess.run([path], check=True, capture_output=True, timeout=60)
    green = subprocess.run([path], check=True, capture_output=True, timeout=60,
                           env={**os.environ, "LD_PRELOAD": LIBRARY})
    assert green.stdout == native.stdout, (green.stdout, native.stdout)
    lines = green.stderr.decode().splitlines()
    assert len(lines) == 1 and "runs natively" in lines[0] and "libgomp" in lines[0], lines


main()
