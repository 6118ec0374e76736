"""Programs that share work among threads of their own: the same result from one kernel thread.

Their threads compute and seldom wait, so nothing is gained by running them green; what is shown is
that mutexes, condition variables and pipes between them keep every byte in its place.
"""

import os
import random
import re

from harness import expect_equal, folder, main, needs, run, same, test, write


def megabytes(count):
    """Text that compresses neither well nor badly."""
    dice = random.Random(count)
    words = ["".join(dice.choices("abcdefghij", k=dice.randint(2, 9))) for _ in range(2000)]
    block = " ".join(dice.choices(words, k=150_000)).encode()
    return (block * (count * 1_000_000 // len(block) + 1))[:count * 1_000_000]


def there_and_back(compress, expand, threads, suffix):
    """Compresses (equal output natively and green), expands, and compares with what went in."""
    data = megabytes(4)
    path = write("data", data)
    native, green = same(*compress, path)
    green.check_green(threads=threads)
    packed = write("data" + suffix, native.output)
    _, back = same(*expand, packed)
    assert back.output == data, f"{back}: {len(back.output)} bytes differ"


@test()
def gzip():
    needs("gzip")
    data = megabytes(2)
    path = write("data", data)
    native, green = same("gzip", "-nc", path)
    green.check_dormant()
    _, back = same("gzip", "-dc", input=native.output)
    assert back.output == data


@test()
def xz_threads():
    needs("xz")
    there_and_back(["xz", "-1", "-T2", "--block-size=512KiB", "-c"], ["xz", "-T2", "-dc"], 2, ".xz")


@test()
def pigz():
    needs("pigz")
    there_and_back(["pigz", "-n", "-p", "4", "-c"], ["pigz", "-dc"], 4, ".gz")


@test()
def zstd_threads():
    needs("zstd")
    there_and_back(["zstd", "-q", "-T3", "-B512K", "-c"], ["zstd", "-q", "-dc"], 3, ".zst")


@test()
def sort_parallel():
    dice = random.Random(1)
    path = write("lines", "".join(f"{dice.randrange(10**9)}\n" for _ in range(300_000)))
    for options in (["-n"], ["-u"], ["-S", "2M"]):  # the last one merges temporary files
        _, green = same("sort", "--parallel=2", *options, path)
        if "-S" not in options:
            green.check_green()


@test()
def make_jobs():
    needs("make")
    targets = [f"job{number}" for number in range(12)]
    rules = "".join(f"{target}:\n\t@sleep 0.05; echo {target} > $@.out; echo done {target}\n"
                    for target in targets)
    path = write("Makefile", f"all: {' '.join(targets)}\n\t@cat *.out | wc -l\n{rules}")
    results = []
    for green in (False, True):
        program = run("make", "-j2", "-O", "-f", path, green=green)
        assert program.status == 0, program.errors
        program.check_dormant()
        results.append(sorted(program.output.splitlines()))
    expect_equal(*results, "what make printed")
    write("Makefile", "all: bad\nbad:\n\t@exit 3\n")
    same("make", "-j2", "-f", path, status=2)


@test()
def compiler():
    """gcc runs its parts as processes, with pipes between them."""
    source = write("hello.c", '#include <stdio.h>\nint main(void) { puts("hello"); return 4; }\n')
    binary = os.path.join(folder(), "hello")
    same("gcc", "-pipe", "-O1", "-Wl,--build-id=none", source, "-o", binary,
         result=lambda: open(binary, "rb").read())
    same(binary, status=4)
    bad = write("bad.c", "int main(void) { return x; }\n")
    native, _ = same("gcc", "-c", bad, status=1)
    assert re.search(rb"error: .*undeclared", native.errors)


main()
