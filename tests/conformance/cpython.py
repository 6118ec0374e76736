"""CPython's own tests (Debian's libpython3.11-testsuite) natively and green, compared case by case.

    scripts/conformance cpython [--help] [MODULE...]

Each module runs in a process of its own (cpython_cases.py), in a scratch folder and a session of
its own, with the network off: it talks to loopback only. Its results arrive one case at a time, so
a case that hangs is found by its silence, and one that takes the process with it by being the last
that began; the module goes on with the next case in a new process. What natively came out is kept
in the build directory until Python or these files change.

A case that passes natively must pass green. One that failed green gets two more chances on its
own, because hundreds of these tests measure time on whatever machine this is; those that needed
one are counted in the table. A crash or a hang gets none. The remaining differences must be those
of cpython_ledger.txt, and each entry of the ledger must still differ.

The green run must have been green: the process ran its threads on one kernel thread (and the
helpers of the offload pool), which the library's own counters tell.
"""

import argparse
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.dirname(HERE))
import ledger  # noqa: E402

PYTHON = "/usr/bin/python3"
LEDGER = os.path.join(HERE, "cpython_ledger.txt")
CASES = os.path.join(HERE, "cpython_cases.py")
HELPERS = 16  # kernel threads of the offload pool, at most

# What is run when no module is named. The second half makes no thread but the first one.
THREADED = """
    test_socket test_subprocess test_io test_socketserver test_httpservers test_ftplib
    test_asyncio test_threading test_thread test_queue test_concurrent_futures
    test_threadsignals test_multiprocessing_fork test_threading_local test_threadedtempfile
    test_ssl test_os test_poll test_httplib test_smtplib test_poplib test_imaplib test_nntplib
    test_telnetlib test_xmlrpc test_urllib2_localnet test_asyncore test_asynchat test_sched
    test_docxmlrpc test_logging test_fork1 test_functools
""".split()
OTHERS = """
    test_select test_selectors test_epoll test_fcntl test_signal test_faulthandler test_eintr
    test_time test_posix test_pty test_openpty test_popen test_pipes test_file test_fileio
    test_mmap test_wait3 test_wait4 test_ioctl test_file_eintr test_tempfile test_shutil
    test_mailbox test_atexit test_timeout test_bufio test_contextlib
""".split()
GOOD = ("pass", "skip")
UNSTEADY = ("fail", "altered")  # what deserves another chance
QUICK = """
    test_select test_epoll test_fcntl test_thread test_queue test_threadsignals test_os
    test_httpservers test_socketserver test_asyncore test_telnetlib test_threadedtempfile
""".split()


class Run:
    """The results of one module, natively or green."""

    def __init__(self, module, green, options):
        self.module, self.green, self.options = module, green, options
        kind = "green" if green else "native"
        self.folder = os.path.join(options.build, "conformance", "cpython", kind)
        os.makedirs(self.folder, exist_ok=True)
        self.results = {}
        self.problems = []  # of the process, not of a case
        self.seconds = 0.0

    def path(self, name):
        return os.path.join(self.folder, f"{self.module}.{name}")

    def go(self, patterns=(), tag="", done=()):
        """Runs the cases; after a hang or a crash, the rest in another process."""
        begun = time.monotonic()
        log = self.path(f"{tag}log")
        stats = self.path(f"{tag}stats")
        for path in (log, stats):
            if os.path.exists(path):
                os.unlink(path)
        results = {}
        while time.monotonic() - begun < self.options.module_limit:
            finished = self._process(results, patterns, log, stats, {*results, *done})
            if finished:
                break
        else:
            results[f"test.{self.module}.all"] = "too long"
        self.seconds += time.monotonic() - begun
        return results

    def _process(self, results, patterns, log_path, stats, done):
        """One process. True when it went through all that was left."""
        with tempfile.TemporaryDirectory(prefix="conform-", ignore_cleanup_errors=True) as folder:
            work = os.path.join(folder, "work")
            os.mkdir(work)
            report, done_path = os.path.join(folder, "report"), os.path.join(folder, "done")
            with open(done_path, "w", encoding="utf-8") as file:
                file.write("\n".join(done))
            with open(report, "w", encoding="utf-8"):
                pass
            variables = {name: value for name, value in os.environ.items()
                         if not name.startswith(("PYTHON", "LD_", "LC_"))}
            variables.update(TMPDIR=work, LANG="C.UTF-8")
            if self.green:
                variables.update(LD_PRELOAD=self.options.library, GREEN_STATS=stats)
            command = [PYTHON, "-B", CASES, self.module, report, done_path, *patterns]
            with open(log_path, "ab") as log:
                process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log,
                                           stderr=log, cwd=work, env=variables,
                                           start_new_session=True)
                last = self._watch(process, report, results, log)
                status = end_session(process)
            exit_case = f"test.{self.module}.exit"
            if last is None:
                last = f"test.{self.module}.load" if status else exit_case
            if status == "hang":
                results[last] = "hang"
            elif last == exit_case:
                results[last] = "pass" if status == 0 else f"ended with {status}"
                if self.green and status == 0:
                    self._check_counters(process.pid, stats)
            else:
                results[last] = f"crash ({status})"
            return last in (exit_case, f"test.{self.module}.load")

    def _watch(self, process, report, results, log):
        """Reads the report until the process ends or is silent for too long."""
        last, place, said = None, 0, time.monotonic()
        process.hung = False
        while True:
            ended = process.poll() is not None
            with open(report, encoding="utf-8") as file:
                file.seek(place)
                text = file.read()
                whole = text[:text.rfind("\n") + 1]
                place += len(whole.encode("utf-8"))
            for line in whole.splitlines():
                said = time.monotonic()
                what, _, case = line.partition(" ")
                if what == "start":
                    last = case
                    continue
                # Of two results of one name (a parametrised case) the worse one stays.
                if results.get(case) in (None, "pass", "skip"):
                    results[case] = what
                last = None if last == case else last
            if ended:
                return last
            if time.monotonic() - said > self.options.case_limit:
                process.hung = True
                log.write(b"\n-- a hang\n")
                log.write(backtraces(process.pid))
                log.flush()
                return last
            time.sleep(0.05)

    def _check_counters(self, pid, path):
        counters = {}
        if os.path.exists(path):
            with open(path, encoding="utf-8") as lines:
                for block in lines.read().split("\n\n"):
                    pairs = dict(line.split(None, 1) for line in block.splitlines() if " " in line)
                    if pairs.get("pid") == str(pid):
                        counters = pairs
        threads = 2 if self.module in THREADED and not self.options.case else 1
        if not counters:
            self.problems.append("left no counters")
        elif counters["active"] != "1" or int(counters["threads_made"]) < threads:
            self.problems.append(f"was not active: {counters['threads_made']} threads made")
        elif int(counters["kernel_threads"]) > 1 + HELPERS:
            self.problems.append(f"had {counters['kernel_threads']} kernel threads")


def end_session(process):
    """Ends the process and what its session left; how it ended."""
    if process.hung:
        os.killpg(process.pid, signal.SIGKILL)
    status = process.wait()
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file:
                session = int(file.read().rpartition(")")[2].split()[3])
            if session == process.pid:
                os.kill(int(name), signal.SIGKILL)
        except (OSError, ValueError, IndexError):
            pass
    return "hang" if process.hung else status


def backtraces(pid):
    gdb = ["gdb", "-p", str(pid), "-batch", "-nx", "-ex", "thread apply all backtrace 40"]
    try:
        return subprocess.run(gdb, check=False, stdin=subprocess.DEVNULL, timeout=60,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"no backtrace: {error}\n".encode()


def fingerprint():
    """Changes when kept native results may no longer hold."""
    digest = hashlib.sha256()
    for package in ("python3.11-minimal", "libpython3.11-testsuite"):
        digest.update(subprocess.run(["dpkg-query", "-W", package], check=True,
                                     stdout=subprocess.PIPE).stdout)
    with open(CASES, "rb") as file:
        digest.update(file.read())
    return digest.hexdigest()


def native_results(module, options, key):
    run = Run(module, False, options)
    kept = run.path("json")
    if not options.fresh and not options.case and os.path.exists(kept):
        with open(kept, encoding="utf-8") as file:
            old = json.load(file)
        if old["key"] == key:
            return old["results"]
    results = run.go(options.case)
    for case in [case for case, result in results.items() if result in UNSTEADY]:
        results[case] = run.go([case], "again.").get(case, results[case])
    if not options.case:
        with open(kept, "w", encoding="utf-8") as file:
            json.dump({"key": key, "seconds": round(run.seconds, 1), "results": results}, file,
                      indent=1)
    return results


def differences(native, green):
    """What passes natively (or is skipped) and does not so green."""
    return {case: green.get(case, "not run") for case, result in native.items()
            if result in GOOD and green.get(case, "not run") not in (result, "pass")}


def compare(module, options, key, listed):
    """One row of the table. True if all is as it should be."""
    native = native_results(module, options, key)
    run = Run(module, True, options)
    # What natively hangs or fails has nothing to be compared with.
    green = run.go(options.case, done=[case for case in native if native[case] not in GOOD])
    different = differences(native, green)
    unsteady = []
    for chance in (1, 2):
        for case, result in list(different.items()):
            if result not in UNSTEADY or case in listed or options.strict:
                continue
            if run.go([case], f"again{chance}.").get(case) == native[case]:
                del different[case]
                unsteady.append(case)
    known = {case for case in different if case in listed}
    passes = [sum(result == "pass" for result in results.values()) for results in (native, green)]
    print(f"{module:28} {len(native):6} {passes[0]:8} {passes[1] + len(unsteady):8} {len(unsteady):6} "
          f"{len(known):6} {len(different) - len(known):12} {run.seconds:7.0f}", flush=True)
    good = True
    for case in unsteady:
        print(f"    {case}: at the second or third attempt")
    for case, result in sorted(different.items()):
        if case not in known:
            print(f"    {case}: {result}")
            good = False
    for problem in run.problems:
        print(f"    the green process {problem}")
        good = False
    for case in sorted(listed):
        if not case.startswith(f"test.{module}.") or case in different:
            continue
        if case in native or not options.case:
            what = "no longer differs" if case in native else "is no case"
            print(f"    {case} {what}, but {LEDGER} lists it: remove the entry")
            good = False
    sys.stdout.flush()
    return good


def main():
    parser = argparse.ArgumentParser(
        prog="scripts/conformance cpython",
        description="Runs CPython's own tests natively and green and compares them by case.")
    parser.add_argument("modules", nargs="*", metavar="MODULE",
                        help="test_socket, ...; none: all that are listed here")
    parser.add_argument("--quick", action="store_true", help="a subset of under a minute")
    parser.add_argument("--list", action="store_true", help="print the modules and exit")
    parser.add_argument("--case", action="append", default=[], metavar="PATTERN",
                        help="only cases whose name matches, as in '*.ThreadTests.test_foreign*'")
    parser.add_argument("--fresh", action="store_true", help="run natively again as well")
    parser.add_argument("--strict", action="store_true", help="no second chance for a failed case")
    parser.add_argument("--build", default=os.path.join(ROOT, "build"), metavar="DIR",
                        help="the build directory (build)")
    parser.add_argument("--case-limit", type=float, default=120, metavar="S",
                        help="a case that says nothing for so long hangs (120)")
    parser.add_argument("--module-limit", type=float, default=1800, metavar="S",
                        help="seconds for a whole module (1800)")
    options = parser.parse_args()
    options.build = os.path.abspath(options.build)
    options.library = os.environ.get("GREEN_LIBRARY") or os.path.join(options.build, "libgreen.so")
    modules = options.modules or (QUICK if options.quick else sorted(THREADED + OTHERS))
    if options.list:
        print("\n".join(modules))
        return 0
    if not os.path.exists("/usr/lib/python3.11/test/test_socket.py"):
        print("libpython3.11-testsuite is not installed (scripts/setup test)")
        return ledger.SKIPPED
    if not os.path.exists(options.library):
        sys.exit(f"{options.library} is missing: build it first")
    try:
        listed = ledger.entries(LEDGER)
    except ledger.LedgerError as error:
        sys.exit(str(error))
    key = fingerprint()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored, it would be so in the tests
    scratch = tempfile.TemporaryDirectory(prefix="conform-lib-")
    os.chmod(scratch.name, 0o755)
    options.library = shutil.copy(options.library, scratch.name)  # a build may replace it meanwhile
    print(f"{'module':28} {'cases':>6} {'native':>8} {'green':>8} {'again':>6} {'known':>6} "
          f"{'differences':>12} {'seconds':>7}", flush=True)
    bad = [module for module in modules if not compare(module, options, key, listed)]
    print("no difference but the known ones" if not bad else f"different: {' '.join(bad)}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
