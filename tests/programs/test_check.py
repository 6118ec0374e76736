"""scripts/green --check and --coverage: what they say of programs that are made here and of
Debian's.

A verdict is only worth something if it is right, so each property it can have is built into a
program of its own: threads, an event loop, system calls without libc, futex calls that make the
library step aside, a library found by RUNPATH or LD_LIBRARY_PATH, a script; and the ones that
cannot run green at all.
"""

import os
import re
import subprocess

from harness import (HERE, LIBRARY, NATIVE_ONLY, Skip, environment, find, folder, main, needs, test,
                     write)

GREEN = os.path.abspath(os.path.join(HERE, "../../scripts/green"))


def green(*arguments, env=None):
    if NATIVE_ONLY:
        raise Skip("the tables are in libgreen.so")
    return subprocess.run([GREEN, *arguments], capture_output=True, text=True, timeout=60,
                          cwd=folder(), env={**environment(), "GREEN_LIBRARY": LIBRARY, **(env or {})},
                          check=False)


def check(program, status=0, env=None):
    """(what is printed before the verdict, the verdict on one line)"""
    done = green("--check", program, env=env)
    assert done.returncode == status, f"status {done.returncode}: {done.stdout}{done.stderr}"
    assert done.stderr == "", done.stderr
    body, colon, verdict = done.stdout.partition("\nverdict:\n")
    assert colon, done.stdout
    return body, " ".join(verdict.split())


def built(name, source, *options):
    path = os.path.join(folder(), name)
    subprocess.run(["gcc", "-O1", "-x", "c", "-", "-o", path, *options], input=source.encode(),
                   check=True)
    return path


def kind_of(body, name):
    """The heading under which a function stands."""
    heading = None
    for line in body.splitlines():
        if line and not line.startswith(" "):
            heading = re.sub(r" \(.*", "", line)
        elif line.startswith("    ") and name in line.split():
            return heading
    return None


@test()
def check_kinds():
    """Each import stands where the table puts it; what never waits is not spoken of."""
    program = built("kinds", """
        #define _GNU_SOURCE
        #include <fcntl.h>
        #include <spawn.h>
        #include <stdio.h>
        #include <string.h>
        #include <sys/stat.h>
        #include <sys/file.h>
        #include <unistd.h>
        int main(int n, char** v) {
            char line[100]; struct stat st; pid_t p;
            if (n > 5) {
                fgets(line, n, stdin); read(0, line, n); flock(0, LOCK_EX); stat(v[1], &st);
                posix_spawn(&p, v[1], 0, 0, v, v); dup(n);
            }
            return (int)strlen(v[0]) > 1000;
        }""", "-w")
    body, verdict = check(program)
    for name, kind in (("fgets", "cooperative through libc"), ("read", "cooperative"),
                       ("flock", "offloaded"), ("posix_spawn", "native"),
                       ("stat", "native, for storage"), ("dup", None), ("strlen", None)):
        assert kind_of(body, name) == kind, f"{name}: {kind_of(body, name)}\n{body}"
    assert verdict.startswith("Makes no threads"), verdict


THREAD = "#include <pthread.h>\nvoid* f(void* a) { return a; }\n" \
         "void make(void) { pthread_t t; pthread_create(&t, 0, f, 0); pthread_join(t, 0); }\n"


@test()
def check_threads_and_loops():
    program = built("threads", THREAD + "int main(void) { make(); }", "-pthread")
    body, verdict = check(program)
    assert "Runs green" in verdict and "by: threads." in verdict, verdict
    assert kind_of(body, "pthread_join") == "cooperative"
    program = built("loop", THREAD + """
        #include <sys/epoll.h>
        int main(void) { struct epoll_event e; make(); return epoll_wait(0, &e, 1, 0) > 5; }""",
                    "-pthread")
    assert "event loop of its own (loop)" in check(program)[1]


@test()
def check_libraries():
    """The program's own library makes the thread: it is found as the dynamic linker finds it."""
    os.mkdir(folder() + "/lib")
    built("lib/libmaker.so", THREAD, "-shared", "-fPIC", "-pthread")
    source = "void make(void); int main(void) { make(); }"
    program = built("linked", source, f"-L{folder()}/lib", "-lmaker", "-Wl,-rpath,$ORIGIN/lib")
    assert "by: libmaker.so." in check(program)[1]
    program = built("unlinked", source, f"-L{folder()}/lib", "-lmaker")
    assert "Not found, and not looked at: libmaker.so." in check(program)[1]
    verdict = check(program, env={"LD_LIBRARY_PATH": folder() + "/lib"})[1]
    assert "by: libmaker.so." in verdict and "Not found" not in verdict, verdict


@test()
def check_system_calls():
    """Waits without libc are found; the two bytes by chance, in numbers and jumps, are not."""
    program = built("raw", THREAD + """
        int main(void) {
            long r;
            char c;
            make();
            __asm__ volatile("syscall" : "=a"(r) : "0"(0L), "D"(0), "S"(&c), "d"(1)
                             : "rcx", "r11", "memory");
            __asm__ volatile("mov $7, %%eax; syscall" : "=a"(r) : "D"(0), "S"(0), "d"(1)
                             : "rcx", "r11", "memory");
            return r > 5;
        }""", "-pthread")
    verdict = check(program)[1]
    assert "without libc" in verdict and "raw: " in verdict and "poll" in verdict, verdict
    program = built("chance", """
        int main(int n, char** v) {
            __asm__ volatile("mov $202, %%eax; mov $0x0000050f, %%ecx; orl $5, (%%rdi)" : :
                             "D"(&n) : "eax", "ecx", "memory");
            return v == 0;
        }""")
    assert "without libc" not in check(program)[1]
    program = built("futex", THREAD + """
        int main(void) {
            long r;
            int word = 1;
            make();
            __asm__ volatile("mov $202, %%eax; syscall" : "=a"(r) : "D"(&word), "S"(0), "d"(0)
                             : "rcx", "r11", "memory");
            return r > 5;
        }""", "-pthread")
    assert check(program, status=2)[1].startswith("Runs natively: futex waits with system calls")


@test()
def check_refusals():
    """Those that the launcher would refuse, in its words, on stdout."""
    program = built("static", "int main(void) { return 3; }", "-static")
    assert "Does not run green" in (verdict := check(program, status=2)[1]), verdict
    assert "static program" in verdict, verdict
    with open(built("other", "int main(void) { return 3; }"), "r+b") as file:
        file.seek(18)  # e_machine: AArch64
        file.write(b"\xb7\0")
    assert "another processor" in check(folder() + "/other", status=2)[1]
    done = green("--check", "no-such-program")
    assert done.returncode == 127 and done.stderr.startswith("green: 'no-such-program' not found")
    assert green("--check").returncode == 2


@test()
def check_script():
    needs("perl")
    path = write("script", f"#!{find('perl')}\nprint 1;\n")
    os.chmod(path, 0o755)
    body, verdict = check(path)
    assert "perl" in body.splitlines()[0] and "Loads further libraries" in verdict, body


@test()
def check_coverage():
    """The whole table, and single functions of it."""
    done = green("--coverage")
    assert done.returncode == 0 and not done.stderr
    assert max(map(len, done.stdout.splitlines())) <= 100
    counts = dict(re.findall(r"^(\w[\w ,]*) \((\d+)\):", done.stdout, re.MULTILINE))
    assert list(counts) == ["cooperative", "cooperative through libc", "offloaded", "native",
                            "native, for storage"], counts
    total = re.search(r"^(\d+) functions may block", done.stdout, re.MULTILINE)
    assert int(total.group(1)) == sum(map(int, counts.values()))
    done = green("--coverage", "read", "fgets", "flock", "vfork", "stat", "strlen", "none_such")
    kinds = [line.split(": ")[1] for line in done.stdout.splitlines()]
    assert kinds == ["cooperative", "cooperative through libc", "offloaded", "native",
                     "native, for storage", "never waits", "not a function of glibc 2.36"], kinds


if __name__ == "__main__":
    main()
