"""Runs glibc's own tests of threads natively and green.

    scripts/conformance glibc [OPTION]... [TEST]...

The sources come from Debian's package glibc-source; nothing of them is kept here. They are unpacked
into BUILD/conformance/glibc, the test driver of their folder support/ becomes a static library, and
each test that compiles and links against it and the installed C library alone is a test for us. The
rest (static programs, tests of libc's internals) is counted and named with --verbose. Flags,
libraries, modules, arguments and variables are read from glibc's own makefiles.

A test that passes natively in three runs of three must pass green in three of three. Where the
native run makes a thread, GREEN_STATS must show that the green one was active and held one kernel
thread. Tests of files, sockets, signals and processes make none and would find the library dormant:
they are run, natively too, beside a thread that sleeps and wakes, which a second preloaded library
makes (and with --direct, since the driver's fork would leave that thread behind). What cannot pass stands, with its reason, in glibc_ledger.txt beside this file: five
entries at most, and one that passes is an error.

Binaries and native results are cached (by the binary's digest); --fresh forgets the results.
"""

import argparse
import concurrent.futures
import contextlib
import hashlib
import json
import os
import re
import select
import shlex
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "parity"))
import ledger  # noqa: E402
from run import blocks_of  # noqa: E402

ARCHIVE_FOLDER = "/usr/src/glibc"
LEDGER = os.path.join(HERE, "glibc_ledger.txt")
LEDGER_LIMIT = 5
RUNS = 3
SECONDS = 150  # for one run; natively slower ones are left out
# The folders whose tests are all about threads; those of which tests that make no thread are run
# beside one, if they call what is hooked; and those of which only thread makers are taken.
FOLDERS = ["nptl", "sysdeps/pthread", "rt"]
BESIDE_A_THREAD = ["posix", "io", "misc", "socket", "signal", "time", "libio", "stdio-common",
                   "stdlib", "sysvipc", "termios", "inet", "dirent", "sysdeps/unix/sysv/linux"]
THREADED_ONLY = ["malloc", "elf", "resolv", "debug", "intl", "dlfcn"]
ALL_FOLDERS = FOLDERS + BESIDE_A_THREAD + THREADED_ONLY
# Not on somebody's machine.
CHANGES_THE_MACHINE = re.compile(
    rb"\b(settimeofday|clock_settime|adjtimex?|ntp_adjtime|stime|sethostname|swapon|acct|reboot|"
    rb"u?mount2?|klogctl|setdomainname)\s*\(")
# For ctest: each shows something of its own, and none takes long.
QUICK = ["pthread/tst-barrier4", "pthread/tst-cancel1", "pthread/tst-cancel4", "pthread/tst-once4",
         "pthread/tst-cancel-self-canceltype", "pthread/tst-join5", "pthread/tst-signal4",
         "nptl/tst-mutex8", "nptl/tst-robustpi9", "nptl/tst-default-attr", "posix/tst-waitid",
         "nptl/tst-pthread-attr-affinity-fail", "signal/tst-sigwait-eintr"]
# What libc serves with kernel threads of its own, here as natively.
LIBC_THREADS = re.compile(rb"\b(aio_\w+|lio_listio|mq_notify|getaddrinfo_a)\b")
MAKES_THREADS = re.compile(rb"\b(pthread_create|thrd_create)\b")
# glibc's private headers that stand alone.
HEADERS = [f"include/{name}.h" for name in
           ("array_length", "intprops", "libc-diag", "libc-pointer-arith", "scratch_buffer",
            "verify", "dso_handle")] + ["malloc/dynarray.h", "sysdeps/x86_64/stackinfo.h",
                                        "sysdeps/nptl/internaltypes.h", "test-skeleton.c",
                                        "sysdeps/generic/tst-stack-align.h"]
C_FLAGS = ["-std=gnu11", "-O2", "-g", "-w", "-D_GNU_SOURCE", "-include", "config.h"]


class Suite:
    """The unpacked sources, the driver's library and what the makefiles say."""

    def __init__(self, folder, verbose):
        self.folder, self.verbose = folder, verbose
        self.source = os.path.join(folder, "source")
        self.include = os.path.join(folder, "include")
        self.driver = os.path.join(folder, "libdriver.a")
        self.binaries = os.path.join(folder, "bin")
        self.ticker = os.path.join(folder, "libticker.so")
        self.variables, self.modules = {}, {}
        self.beside, self.hooked = set(), set()

    def prepare(self, library):
        names = subprocess.run(["nm", "-D", "--defined-only", library], check=True,
                               stdout=subprocess.PIPE).stdout
        self.hooked = set(re.findall(rb" [TW] (\w+)", names)) - COMMON_CALLS
        self.unpack()
        self.make_include()
        if not os.path.exists(self.driver):
            self.make_driver()
        if not os.path.exists(self.ticker):
            subprocess.run(["gcc", "-O2", "-shared", "-fPIC", "-xc", "-", "-o", self.ticker],
                           check=True, input=TICKER.encode())
        for name in ALL_FOLDERS:
            self.read_makefile(name)

    def unpack(self):
        there = os.listdir(ARCHIVE_FOLDER) if os.path.isdir(ARCHIVE_FOLDER) else []
        archives = sorted(name for name in there
                          if re.fullmatch(r"glibc-[\d.]+\.tar\.xz", name))
        if not archives:
            print(f"conformance: no sources in {ARCHIVE_FOLDER}; install glibc-source")
            sys.exit(ledger.SKIPPED)
        root = archives[-1].removesuffix(".tar.xz")
        mark = os.path.join(self.folder, "unpacked")
        content = " ".join([root, *ALL_FOLDERS, *HEADERS])
        if os.path.exists(mark):
            with open(mark, encoding="utf-8") as file:
                if file.read() == content:
                    return
        wanted = tuple(f"{root}/{name}/" for name in ALL_FOLDERS + ["support"])
        single = {f"{root}/{name}" for name in HEADERS}
        shutil.rmtree(self.source, ignore_errors=True)
        with tarfile.open(os.path.join(ARCHIVE_FOLDER, archives[-1])) as archive:
            for member in archive:
                if not member.isfile():
                    continue
                if member.name.startswith(wanted) or member.name in single:
                    member.name = member.name.removeprefix(root + "/")
                    archive.extract(member, self.source)
        with open(mark, "w", encoding="utf-8") as file:
            file.write(content)

    def make_include(self):
        """Only what is asked for: glibc's own <pthread.h> must not hide the installed one."""
        os.makedirs(self.include, exist_ok=True)
        targets = {os.path.basename(name): os.path.join(self.source, name) for name in HEADERS}
        for name in ALL_FOLDERS + ["support"]:
            top = name.split("/")[0]
            targets[top] = os.path.join(self.source, top)
        for name, target in targets.items():
            link = os.path.join(self.include, name)
            if not os.path.lexists(link):
                os.symlink(target, link)
        paths = "".join(f'#define {name}_PATH "{path}"\n' for name, path in (
            ("SRCDIR", self.source), ("OBJDIR", self.folder), ("BINDIR", "/usr/bin"),
            ("OBJDIR_ELF_LDSO", "/lib64/ld-linux-x86-64.so.2"), ("SBINDIR", "/usr/sbin"),
            ("INSTDIR", "/usr"), ("LIBDIR", "/usr/lib"), ("SLIBDIR", "/lib"), ("ROOTSBINDIR", "/sbin"),
            ("COMPLOCALEDIR", "/usr/lib/locale"), ("SYSCONFDIR", "/etc")))
        for name, text in (("config.h", CONFIG + paths), ("libc-config.h", ""),
                           ("atomic.h", "#include <stdbool.h>\n"), ("shlib-compat.h", "#define TEST_COMPAT(...) 0\n"),
                           ("allocate_once.h", ALLOCATE_ONCE)):
            with open(os.path.join(self.include, name), "w", encoding="utf-8") as header:
                header.write(text)

    def make_driver(self):
        objects = os.path.join(self.folder, "driver")
        os.makedirs(objects, exist_ok=True)
        support = os.path.join(self.source, "support")
        names = [name for name in sorted(os.listdir(support))
                 if name.endswith(".c") and not name.startswith(("tst-", "test-", "echo-", "links-"))]
        paths = [os.path.join(support, name) for name in names]
        paths += [os.path.join(self.source, "malloc", name)
                  for name in sorted(os.listdir(os.path.join(self.source, "malloc")))
                  if re.fullmatch(r"(scratch_buffer|dynarray)_\w+\.c", name)]

        def compile_one(path):
            out = os.path.join(objects, os.path.basename(path).replace(".c", ".o"))
            done = subprocess.run(["gcc", *C_FLAGS, f"-I{self.include}", f"-I{support}",
                                   "-c", path, "-o", out], check=False, stderr=subprocess.PIPE)
            if done.returncode != 0:
                self.note(f"driver: {os.path.basename(path)} left out: {first_error(done.stderr)}")
            return out if done.returncode == 0 else None

        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            made = [out for out in pool.map(compile_one, paths) if out is not None]
        subprocess.run(["ar", "rcs", self.driver, *made], check=True)

    def note(self, text):
        if self.verbose:
            print(text, flush=True)

    def read_makefile(self, folder):
        """CFLAGS-, LDLIBS-, LDFLAGS-, -ARGS, -ENV, and which modules a test is linked with."""
        path = os.path.join(self.source, folder, "Makefile")
        if not os.path.exists(path):
            return
        with open(path, encoding="utf-8") as file:
            text = file.read().replace("\\\n", " ")
        for line in text.splitlines():
            name = re.match(r"((?:CFLAGS|LDLIBS|LDFLAGS)-[^\s=+]+|\S+-(?:ARGS|ENV))\s*\+?=(.*)", line)
            if name:
                key = name.group(1).replace(".cc", ".c").replace(".o", ".c")
                self.variables.setdefault(key, "")
                self.variables[key] += " " + name.group(2)
            rule = re.match(r"\$\(objpfx\)([\w.-]+):(.*)", line)
            if rule and not rule.group(1).endswith(".out"):
                needs = re.findall(r"\$\(objpfx\)([\w.-]+)\.so", rule.group(2))
                self.modules.setdefault(rule.group(1), []).extend(needs)

    def words(self, key, work="", program=""):
        text = self.variables.get(key, "")
        for name, value in (("objpfx", work + "/"), ("host-test-program-cmd", program),
                            ("LDFLAGS-rdynamic", "-rdynamic")):
            text = text.replace(f"$({name})", value)
        try:
            return [word for word in shlex.split(text) if "$(" not in word]
        except ValueError:  # a backslash or quote for make, not for us
            return []

    def arguments(self, test, work, program):
        direct = ["--direct"] if test in self.beside else []
        return direct + self.words(f"{os.path.basename(test)}-ARGS", work, program)

    def sources(self):
        """Test names and their sources; `module` ones are made when a test needs them."""
        found = {}
        for folder in ALL_FOLDERS:
            path = os.path.join(self.source, folder)
            for name in sorted(os.listdir(path)):
                stem, extension = os.path.splitext(name)
                if extension not in (".c", ".cc") or not re.match(r"te?st-|bug-", name):
                    continue
                if re.search(r"mod\w*$|-static$|-skeleton$|-main$|-common$|-time64$", stem):
                    continue
                source = os.path.join(path, name)
                text = self.text_of(source)
                if CHANGES_THE_MACHINE.search(text):
                    continue
                if folder not in FOLDERS and not MAKES_THREADS.search(text):
                    called = set(re.findall(rb"\b(\w+) ?\(", text))
                    if folder in THREADED_ONLY or not called & self.hooked:
                        continue
                    self.beside.add(f"{folder.removeprefix('sysdeps/')}/{stem}")
                found.setdefault(f"{folder.removeprefix('sysdeps/')}/{stem}", source)
        return found

    def text_of(self, source):
        """A source with the tests it includes."""
        with open(source, "rb") as file:
            text = file.read()
        for name in re.findall(rb'#include "((?:te?st-|bug-)[^"]+\.c)"', text):
            other = os.path.join(os.path.dirname(source), name.decode())
            if os.path.exists(other):
                text += self.text_of(other)
        return text

    def build(self, test, source):
        """The program's path, or why it does not stand alone."""
        folder = os.path.join(self.binaries, test)
        program = os.path.join(folder, os.path.basename(test))
        reason = os.path.join(folder, "left-out")
        if os.path.exists(program):
            return program, None
        if os.path.exists(reason):
            with open(reason, encoding="utf-8") as text:
                return None, text.read()
        os.makedirs(folder, exist_ok=True)
        error = self.compile(os.path.basename(test), source, program)
        if error is not None:
            with open(reason, "w", encoding="utf-8") as text:
                text.write(error)
            return None, error
        return program, None

    def compile(self, name, source, out):
        folder = os.path.dirname(out)
        linked, loaded = [], []
        for module in self.modules_of(name, source):
            path = os.path.join(os.path.dirname(source), f"{module}.c")
            if not os.path.exists(path):
                path += "c"
            library = os.path.join(folder, f"{module}.so")
            needs = [os.path.join(folder, f"{other}.so") for other in self.modules.get(module + ".so", [])]
            if error := self.run_compiler(path, library, module, ["-shared", "-fPIC", *needs]):
                return error
            (linked if module in self.modules.get(name, []) else loaded).append(library)
        return self.run_compiler(source, out, name, [*linked, self.driver])

    def modules_of(self, name, source):
        """Those the makefile links, and those whose names the source mentions."""
        with open(source, encoding="utf-8", errors="replace") as file:
            text = file.read()
        wanted = list(self.modules.get(name, []))
        for module in re.findall(r'"(?:\$ORIGIN/)?([\w-]+)\.so"', text):
            if os.path.exists(os.path.join(os.path.dirname(source), module + ".c")):
                wanted.append(module)
        ordered = []
        for module in wanted:  # what a module needs comes first
            for one in [*self.modules.get(module + ".so", []), module]:
                if one not in ordered:
                    ordered.append(one)
        return ordered

    def run_compiler(self, source, out, name, more):
        cplusplus = source.endswith(".cc")
        flags = [flag for flag in C_FLAGS if not (cplusplus and flag.startswith("-std"))]
        quoted = [os.path.dirname(source)] + [os.path.join(self.source, f)
                                              for f in ALL_FOLDERS]
        link = ["-Wl,-rpath,$ORIGIN", "-lrt", "-lpthread", "-ldl", "-lm", "-lresolv", "-lanl"]
        command = ["g++" if cplusplus else "gcc", *flags, *self.words(f"CFLAGS-{name}.c"),
                   f"-I{self.include}", *(f"-iquote{path}" for path in quoted), source, "-o", out,
                   *self.words(f"LDFLAGS-{os.path.basename(out)}"), *more,
                   *self.words(f"LDLIBS-{name}"), *link]
        done = subprocess.run(command, check=False, stderr=subprocess.PIPE)
        return first_error(done.stderr) if done.returncode != 0 else None


# What glibc's configuration and private headers would have said.
CONFIG = """#pragma once
#ifndef __ASSEMBLER__
#include <limits.h>
#endif
#define TIMEOUTFACTOR 1
#define attribute_hidden
#define __set_errno(e) (errno = (e))
#define libc_hidden_proto(...)
#define libc_hidden_def(...)
"""
# Makes a process one with a second thread, which never does anything that shows.
TICKER = """#include <pthread.h>
#include <signal.h>
#include <time.h>
static void *tick(void *unused) {
    struct timespec t = {0, 20000000};
    for (;;) nanosleep(&t, NULL);
    return unused;
}
__attribute__((constructor)) static void start(void) {
    pthread_t thread;
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    pthread_create(&thread, NULL, tick, NULL);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
}
"""
# What every test calls, to say how it went.
COMMON_CALLS = {b"close", b"write", b"exit", b"_exit", b"abort", b"fclose"}
# The one private mechanism of libc that the driver asks for, in its simplest form.
ALLOCATE_ONCE = """#include <stddef.h>
static inline void *allocate_once(void **place, void *(*make)(void *),
                                  void (*drop)(void *, void *), void *closure) {
    void *made, *none = NULL;
    (void)drop;
    if (*place == NULL && (made = make(closure)) != NULL) {
        __atomic_compare_exchange_n(place, &none, made, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
    }
    return *place;
}
"""


def first_error(text):
    lines = text.decode("utf-8", "replace").splitlines()
    marked = [line for line in lines if "error" in line or "undefined reference" in line]
    return (marked or lines or ["?"])[0].strip()


class Outcome:
    """One run: its exit status (None: ended by us), output and counters."""

    def __init__(self, status, text, seconds, blocks, most_threads):
        self.status, self.text, self.seconds, self.blocks = status, text, seconds, blocks
        self.most_threads = most_threads  # that a process of it was seen with

    def problem(self, makes_threads=False, libc_threads=False):
        if self.status is None:
            return f"ended after {SECONDS} s"
        if self.status < 0:
            return f"killed by {signal.Signals(-self.status).name}"
        if self.status > 0:
            return f"status {self.status}"
        if self.blocks is None:
            return None
        for block in self.blocks:
            threads = block.get("kernel_threads", 0)
            if threads > 1 and not block.get("offloaded") and not libc_threads:
                return f"{threads} kernel threads, and none of them a helper for blocking calls"
        # A process that a signal ends, or exec replaces, leaves no counters.
        if makes_threads and self.most_threads > 1 and not self.was_green():
            return f"not shown to be green: no counters, and {self.most_threads} kernel threads"
        return None

    def was_green(self):
        return any(block.get("active") == 1 for block in self.blocks)


def run_once(suite, test, program, library, factor):
    """Runs one test in a folder and a session of its own."""
    with tempfile.TemporaryDirectory(prefix="conformance-") as work:
        stats = os.path.join(work, "stats")
        environment = {key: value for key, value in os.environ.items()
                       if not key.startswith("GREEN_") and key != "LD_PRELOAD"}
        environment.update(LC_ALL="C", LANG="C", TMPDIR=work, TIMEOUTFACTOR=str(factor),
                           LD_LIBRARY_PATH=os.path.dirname(program))
        name = os.path.basename(test)
        environment.update(word.split("=", 1) for word in suite.words(f"{name}-ENV", work)
                           if re.match(r"\w+=", word) and not word.startswith("LD_PRELOAD"))
        beside = test in suite.beside
        # The last one's constructor runs first, so the ticker finds the library ready.
        preloaded = ([suite.ticker] if beside else []) + ([library] if library else [])
        if preloaded:
            environment.update(LD_PRELOAD=":".join(preloaded))
        if library is not None:
            environment.update(GREEN_STATS=stats)
        out_path = os.path.join(work, "out")
        with open(os.path.join(work, "Makefile"), "w", encoding="utf-8"):
            pass  # some tests open it, as a file that is always there
        with open(out_path, "wb") as out:
            begun = time.monotonic()
            process = subprocess.Popen([program, *suite.arguments(test, work, program)],
                                       stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=work,
                                       env=environment, start_new_session=True)
            pidfd = os.pidfd_open(process.pid)
            ended = select.poll()
            ended.register(pidfd, select.POLLIN)
            most_threads, in_time, seconds = 0, False, 0.0
            while not in_time and seconds < SECONDS:
                in_time = bool(ended.poll(50))
                most_threads = max(most_threads, *session_threads(process.pid).values(), 0)
                seconds = time.monotonic() - begun
            for pid in session_threads(process.pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            status = process.wait()
            os.close(pidfd)
        with open(out_path, encoding="utf-8", errors="replace") as out:
            text = out.read()
        return Outcome(status if in_time else None, text, seconds,
                       None if library is None else blocks_of(stats), most_threads)


def session_threads(leader):
    """How many kernel threads each process of a session has. (The driver puts the test itself into
    a process group of its own.)"""
    found = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as stat:
                fields = stat.read().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == leader:
            found[int(name)] = int(fields[17])
    return found


class Cache:
    """Native results by the digest of the program."""

    def __init__(self, path, fresh):
        self.path, self.known, self.lock = path, {}, threading.Lock()
        if os.path.exists(path) and not fresh:
            with open(path, encoding="utf-8") as file:
                self.known = json.load(file)

    def put(self, key, value):
        with self.lock:
            self.known[key] = value
            with open(self.path + ".new", "w", encoding="utf-8") as file:
                json.dump(self.known, file, indent=0, sort_keys=True)
            os.replace(self.path + ".new", self.path)


def digest(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()[:32]


def native_result(suite, test, program, cache, factor):
    """Passed how often of RUNS, and why not; stops at the first failure."""
    key = " ".join([digest(program), *suite.arguments(test, ".", ".")])
    if key not in cache.known:
        why = None
        for _ in range(RUNS):
            outcome = run_once(suite, test, program, None, factor)
            why = outcome.problem()
            if why is not None:
                break
        cache.put(key, {"test": test, "problem": why, "seconds": round(outcome.seconds, 2)})
    return cache.known[key]["problem"]


def imports(program):
    return subprocess.run(["nm", "-D", "--undefined-only", program], check=True,
                          stdout=subprocess.PIPE).stdout


def green_result(suite, test, program, library, factor, runs):
    """None, or how the green runs failed, with the output of the first that did."""
    symbols = imports(program)
    makes_threads = test in suite.beside or MAKES_THREADS.search(symbols) is not None
    libc_threads = LIBC_THREADS.search(symbols) is not None
    failures, passed = {}, 0
    last = ""
    for _ in range(runs):
        outcome = run_once(suite, test, program, library, factor)
        why = outcome.problem(makes_threads, libc_threads)
        if why is None:
            passed += 1
            continue
        failures[why] = failures.get(why, 0) + 1
        last = last or outcome.text
    if passed == runs:
        return None
    text = "; ".join(failures)
    if passed:
        text += f" (passed {passed} of {runs})"
    lines = [line for line in last.splitlines() if line.strip()]
    return text, lines[-12:]


def one_test(suite, test, source, cache, options):
    """What is said of one test: (verdict, text, lines)."""
    program, left_out = suite.build(test, source)
    if program is None:
        return "left out", left_out, []
    why = native_result(suite, test, program, cache, options.factor)
    if why is not None:
        return "native fails", why, []
    if options.native_only:
        return "native passes", "", []
    failure = green_result(suite, test, program, options.lib, options.factor, options.runs)
    if failure is None:
        return "passed", "", []
    return "failed", failure[0], failure[1]


def arguments():
    parser = argparse.ArgumentParser(prog="scripts/conformance glibc",
                                     description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("tests", nargs="*", metavar="TEST",
                        help="nptl/tst-cond1, tst-cond1, or a part between slashes: /cond/")
    parser.add_argument("--build", default="build", help="the build folder (build)")
    parser.add_argument("--lib", help="the library (BUILD/libgreen.so)")
    parser.add_argument("--runs", type=int, default=RUNS, help="green runs of each test (3)")
    parser.add_argument("--jobs", "-j", type=int, default=os.cpu_count())
    parser.add_argument("--factor", type=int, default=3, help="of the tests' own time limits (3)")
    parser.add_argument("--quick", action="store_true", help="a few tests, once")
    parser.add_argument("--fresh", action="store_true", help="run natively again")
    parser.add_argument("--native-only", action="store_true")
    parser.add_argument("--verbose", action="store_true", help="name what was left out")
    options = parser.parse_args()
    if options.quick:
        options.tests, options.runs = QUICK, 1
    options.build = os.path.abspath(options.build)
    options.lib = os.path.abspath(options.lib or os.path.join(options.build, "libgreen.so"))
    if not os.path.exists(options.lib):
        parser.error(f"there is no {options.lib}")
    return options


def wanted(test, patterns):
    for pattern in patterns:
        if len(pattern) > 2 and pattern.startswith("/") and pattern.endswith("/"):
            if re.search(pattern[1:-1], test):
                return True
        elif pattern in (test, os.path.basename(test)):
            return True
    return not patterns


def report(results, listed, options):
    """The table and the exit status."""
    by_verdict = {}
    for test, (verdict, text, lines) in sorted(results.items()):
        by_verdict.setdefault(verdict, []).append((test, text, lines))
    failed = by_verdict.get("failed", [])
    unexpected = [entry for entry in failed if entry[0] not in listed]
    outlived = [test for test, _, _ in by_verdict.get("passed", []) if test in listed]
    if options.verbose:
        for verdict in ("left out", "native fails"):
            for test, text, _ in by_verdict.get(verdict, []):
                print(f"{verdict}: {test}: {text}")
    for test, text, lines in unexpected:
        print(f"\n{test}: {text}")
        for line in lines:
            print(f"    {line}")
    print()
    passed = len(by_verdict.get("passed", []))
    rows = [("do not stand alone", len(by_verdict.get("left out", []))),
            ("do not pass natively here", len(by_verdict.get("native fails", []))),
            ("passed natively", passed + len(failed) + len(by_verdict.get("native passes", []))),
            ("passed green", passed),
            ("differ, in the ledger", len(failed) - len(unexpected)),
            ("differ", len(unexpected))]
    for title, number in rows:
        print(f"{title:28}{number:6}")
    for test, text, _ in failed:
        print(f"  {test}: {text}" + (f" [{listed[test]}]" if test in listed else ""))
    for test in outlived:
        print(f"{test} passes, but {LEDGER} lists it: remove the entry")
    return 1 if unexpected or outlived else 0


def main():
    options = arguments()
    folder = os.path.join(options.build, "conformance", "glibc")
    os.makedirs(folder, exist_ok=True)
    suite = Suite(folder, options.verbose)
    suite.prepare(options.lib)
    sources = suite.sources()
    listed = ledger.entries(LEDGER)
    strangers = [name for name in listed if name not in sources]
    if strangers or len(listed) > LEDGER_LIMIT:
        sys.exit(f"{LEDGER}: at most {LEDGER_LIMIT} entries; unknown: {strangers}")
    chosen = {test: source for test, source in sources.items() if wanted(test, options.tests)}
    if not chosen:
        sys.exit("conformance: no such test")
    cache = Cache(os.path.join(folder, "native.json"), options.fresh)
    results = {}
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        running = {pool.submit(one_test, suite, test, source, cache, options): test
                   for test, source in chosen.items()}
        for done in concurrent.futures.as_completed(running):
            test = running[done]
            results[test] = done.result()
            verdict, text, _ = results[test]
            if verdict not in ("left out", "native fails") or options.tests:
                print(f"{test}: {verdict}{': ' + text if text else ''}", flush=True)
    return report(results, listed, options)


if __name__ == "__main__":
    sys.exit(main())
