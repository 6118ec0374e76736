"""What the tests of this folder share: starting a program natively and green, and looking at it.

A file test_*.py holds tests of programs that come as Debian ships them. Each is a function marked
with @test; ctest knows it as programs.NAME (`test_x.py --list` tells CMake the names, so nobody
writes them twice). The usual shape is

    @test()
    def gzip():
        same("gzip", "-dc", archive)                 # natively and green: equal output and status

and for a server

    with Program("microsocks", "-p", str(port), green=True) as server:
        ...                                          # talk to it
        server.stop(signal.SIGTERM)
    server.check_green(threads=100)                  # one kernel thread, and really green

A test fails by AssertionError, also when its time is over; what it started is then ended, process
group by process group. The ledger of known failures (tests/ledger.py) has the last word.

With --audit every green half runs under the auditor (GREEN_AUDIT=1), as the test programs.NAME.audit:
no process of it may have made a system call behind the library's back that could wait.

For the developer: NATIVE_ONLY=1 runs every green half natively and leaves its counters alone,
which tries the tests themselves.
"""

import itertools
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
import ledger  # noqa: E402

PYTHON = "/usr/bin/python3"
LIBRARY = os.environ.get("GREEN_LIBRARY") or os.path.join(HERE, "../../build/libgreen.so")
LIBRARY = os.path.abspath(LIBRARY)
NATIVE_ONLY = os.environ.get("NATIVE_ONLY") == "1"

MOST_HELPERS = 16  # for calls that end by themselves (runtime/offload.h)
AUDIT = sys.argv[1:2] == ["--audit"]

_tests = {}
_running = []
_numbers = itertools.count(1)
_folder = None  # the test's own
_records = None  # where the harness keeps what programs print


class Skip(Exception):
    """The test cannot be run on this machine; the text says why."""


def test(timeout=60, serial=False, audit=True, heavy=False):
    """Marks a function as a test. serial: it measures time or fills the machine; audit: it runs
    programs that the auditor may look at; heavy: it computes, where most wait."""
    def mark(function):
        _tests[function.__name__.strip("_")] = (function, timeout, serial, audit, heavy)
        return function
    return mark


def needs(*programs):
    for program in programs:
        if not find(program):
            raise Skip(f"{program} is not installed (scripts/setup test)")


def find(program):
    return shutil.which(program, path=environment()["PATH"])


def folder():
    """The test's own temporary folder, gone when it ends."""
    return _folder


def write(name, content):
    """Writes a file in the test's folder and returns its path."""
    path = os.path.join(folder(), name)
    with open(path, "wb") as file:
        file.write(content.encode() if isinstance(content, str) else content)
    return path


def free_port(address="127.0.0.1"):
    with socket.socket() as probe:
        probe.bind((address, 0))
        return probe.getsockname()[1]


def wait_until(condition, what, seconds=10):
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(0.01)


def wait_for_port(port, address="127.0.0.1"):
    def answers():
        with socket.socket() as probe:
            return probe.connect_ex((address, port)) == 0
    wait_until(answers, f"a server on port {port}")


def environment():
    """The same few variables for every program: what the user has set changes no test."""
    return {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": folder() or "/", "TMPDIR": folder() or "/tmp", "LANG": "C.UTF-8", "TZ": "UTC",
    }


def _kernel_threads(pid):
    try:
        return len(os.listdir(f"/proc/{pid}/task"))
    except OSError:
        return 0


def sleeping(pid):
    """True when the process has been waiting, without using the CPU, for a moment."""
    def look():
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
        return fields[0], fields[11], fields[12]
    before = look()
    time.sleep(0.1)
    return before[0] == "S" and look() == before


def counters_in(path):
    blocks, block = [], {}
    if not os.path.exists(path):
        return blocks
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            words = line.split()
            if not words:
                blocks.append(block)
                block = {}
            elif words[0] == "native":
                block.setdefault("native", {})[words[1]] = int(words[2])
            elif words[0] == "audit":
                block.setdefault("audit", []).append(" ".join(words[1:]))
            else:
                block[words[0]] = int(words[1]) if words[1].isdigit() else " ".join(words[1:])
    return blocks


def check_audit():
    """What the auditor says of all processes of the test that ended and told their counters."""
    blocks = [block for name in os.listdir(_records) if name.startswith("counters-")
              for block in counters_in(os.path.join(_records, name)) if block["active"]]
    if not all("audited" in block for block in blocks):
        raise Skip("this kernel cannot audit")
    surprises = [f"{block['program']}: {one}" for block in blocks for one in block.get("audit", [])]
    assert not surprises, "\n  ".join(["the auditor found", *surprises])
    print(f"{len(blocks)} processes, {sum(block['audited'] for block in blocks)} calls looked at")


class Program:
    """A program that runs, natively or green, in a process group (or terminal) of its own."""

    def __init__(self, *command, green=False, input=b"", env=None, cwd=None, terminal=None):
        self.command = [str(word) for word in command]
        self.green = green and not NATIVE_ONLY
        self.kind = "green" if self.green else "native"
        number = next(_numbers)
        self.stats_path = os.path.join(_records, f"counters-{number}")
        self.out_path = os.path.join(_records, f"output-{number}")
        self.err_path = os.path.join(_records, f"errors-{number}")
        variables = environment()
        if self.green:
            variables |= {"LD_PRELOAD": LIBRARY, "GREEN_STATS": self.stats_path}
            if AUDIT:
                variables["GREEN_AUDIT"] = "1"
        variables |= env or {}
        # Natively started programs have default signals; a test run in the background of a shell
        # would otherwise hand its ignored SIGINT down.
        def prepare():
            for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGPIPE):
                signal.signal(number, signal.SIG_DFL)
            if terminal is not None:
                import fcntl
                import termios
                fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)
        stdin = subprocess.PIPE if terminal is None else terminal
        with open(self.out_path, "wb") as out, open(self.err_path, "wb") as err:
            self.started = time.monotonic()
            self.process = subprocess.Popen(
                self.command, stdin=stdin, stdout=out, stderr=err, env=variables,
                cwd=cwd or folder(), start_new_session=True, preexec_fn=prepare)
        self.pid = self.process.pid
        self.status = None
        self.seconds = None
        self.peak = 0  # the most kernel threads seen at once
        _running.append(self)
        self._sampler = threading.Thread(target=self._sample, daemon=True)
        self._sampler.start()
        if terminal is None:
            try:
                self.process.stdin.write(input)
                self.process.stdin.close()
            except BrokenPipeError:
                pass

    def _sample(self):
        while self.status is None:
            self.peak = max(self.peak, _kernel_threads(self.pid))
            time.sleep(0.005)

    def kernel_threads(self):
        """How many the program has now."""
        count = _kernel_threads(self.pid)
        self.peak = max(self.peak, count)
        return count

    def wait(self, seconds=60):
        """Waits for the end; the status is negative when a signal was the end, as in Popen."""
        try:
            self.status = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self} has not ended within {seconds} s") from None
        self.seconds = time.monotonic() - self.started
        self._sampler.join()
        _running.remove(self)
        self._end_group()
        return self.status

    def stop(self, number=signal.SIGTERM, seconds=10):
        """Sends the signal and waits."""
        os.kill(self.pid, number)
        return self.wait(seconds)

    def _end_group(self):
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except OSError:
            pass

    def __enter__(self):
        return self

    def __exit__(self, *failure):
        if self.status is None:
            self._end_group()
            self.wait()

    def __str__(self):
        return f"{' '.join(' '.join(self.command).split())[:100]} ({self.kind})"

    @property
    def output(self):
        with open(self.out_path, "rb") as file:
            return file.read()

    @property
    def errors(self):
        with open(self.err_path, "rb") as file:
            return file.read()

    def counters(self):
        """The blocks that the program's processes left, one dictionary each."""
        return counters_in(self.stats_path)

    def own_counters(self):
        """The block of the program itself."""
        for block in self.counters():
            if block["pid"] == self.pid:
                return block
        raise AssertionError(f"{self} left no counters; it ended with {self.status}")

    def check_green(self, threads=1, counters=True, helpers=0):
        """One kernel thread all along and, told by the counters, at least so many green ones.

        A program that calls fsync and the like may have so many helpers beside it. A file that the
        kernel does not have in memory is read by one: that depends on the machine.
        """
        if not self.green:
            return
        if counters:
            block = self.own_counters()
            helpers = max(helpers, min(block["uncached_reads"], MOST_HELPERS))
            assert block["active"] == 1, f"{self} made no green thread: {block}"
            assert block["kernel_threads"] <= 1 + helpers, f"{self} ended with more kernel threads: {block}"
            assert block["threads_made"] >= threads, f"{self} made too few green threads: {block}"
            assert block["switches"] > 0, f"{self} never switched: {block}"
        assert self.peak <= 1 + helpers, f"{self} had {self.peak} kernel threads at once"

    def check_dormant(self):
        """Every process of the program that told its counters left the library asleep.

        One that leaves by _exit(2), as dash does, tells nothing.
        """
        if self.green:
            assert self.peak <= 1, f"{self} had {self.peak} kernel threads at once"
            for block in self.counters():
                assert block["active"] == 0, f"{self} made green threads: {block}"


def run(*command, green=False, seconds=60, **options):
    """Runs a program to its end."""
    program = Program(*command, green=green, **options)
    program.wait(seconds)
    return program


def same(*command, prepare=None, result=None, status=0, compare=("status", "output", "errors"),
         **options):
    """Runs a program natively and green: status, output and errors must be equal.

    prepare() is called before each run, result() after it; what that returns must be equal too.
    Returns both runs for what else there is to check.
    """
    programs = []
    results = []
    for green in (False, True):
        if prepare:
            prepare()
        programs.append(run(*command, green=green, **options))
        results.append(result() if result else None)
    native, green = programs
    assert native.status == status, f"{native} ended with {native.status}: {native.errors[-500:]}"
    for what in compare:
        expect_equal(getattr(native, what), getattr(green, what), f"{what} of {native.command}")
    expect_equal(*results, f"the result of {native.command}")
    print(f"{native}: {native.seconds:.2f} s; {green.seconds:.2f} s green")
    return native, green


def expect_equal(native, green, what):
    assert native == green, (f"{what} differs:\n"
                             f"  native: {native!r:.1500}\n  green:  {green!r:.1500}")


def raise_limit():
    """A test of thousands of connections needs thousands of descriptors."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _time_is_over(*_):
    raise AssertionError("the test's time is over")


def _run_test(name):
    global _folder, _records
    function, timeout, *_ = _tests[name]
    failure = None
    raise_limit()
    signal.signal(signal.SIGALRM, _time_is_over)
    signal.alarm(timeout)
    with tempfile.TemporaryDirectory(prefix=f"green-{name}-", ignore_cleanup_errors=True) as path:
        _folder, _records = os.path.join(path, "work"), os.path.join(path, "records")
        os.chmod(path, 0o755)  # servers that give up root look into it
        os.mkdir(_folder)
        os.mkdir(_records)
        try:
            if not NATIVE_ONLY:
                assert os.path.exists(LIBRARY), f"{LIBRARY} is missing: build it first"
            function()
            if AUDIT:
                check_audit()
        except Skip as reason:
            print(f"skipped: {reason}")
            return ledger.SKIPPED
        except Exception:
            failure = traceback.format_exc()
            for program in _running:
                failure += f"still running: {program}, {program.kernel_threads()} kernel threads\n"
                failure += f"  its errors: {program.errors[-2000:].decode(errors='replace')}\n"
        finally:
            signal.alarm(0)
            for program in list(_running):
                program.__exit__()
    return ledger.judge(f"programs.{name}" + (".audit" if AUDIT else ""), failure)


def main():
    """A test file ends with this."""
    if sys.argv[1:] == ["--list"]:
        for name, (_, timeout, serial, audit, heavy) in _tests.items():
            print(name, timeout, int(serial), int(audit), 1 + heavy)
        return
    names = sys.argv[2 if AUDIT else 1:] or list(_tests)
    unknown = [name for name in names if name not in _tests]
    if unknown:
        sys.exit(f"no test {unknown[0]} here; there are: {', '.join(_tests)}")
    statuses = []
    for name in names:
        if len(names) > 1:
            print(f"-- {name}", flush=True)
        statuses.append(_run_test(name))
    sys.exit(max(statuses))
