"""What scripts/bench and scripts/demo share: starting a program natively or green, putting load
on it, looking at it in /proc, and telling a person about it.

Whatever is started here ends with whoever started it: by leaving the `with` block, and should the
parent be killed, by a parent-death signal.
"""

import ctypes
import os
import resource
import select
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LIBC = ctypes.CDLL(None)
PR_SET_PDEATHSIG = 1
KERNEL_STACK_KIB = 16  # what a kernel thread has in the kernel (x86-64); VmRSS does not show it


class Failed(Exception):
    """A program did not do what it was started for; the text says which and how."""


# Programs


def add_place_options(parser):
    def place(text):
        return Path(text).resolve()

    parser.add_argument("--library", type=place, metavar="FILE", default=ROOT / "build/libgreen.so",
                        help="the library to preload (default: build/libgreen.so)")
    parser.add_argument("--programs", type=place, metavar="DIR", default=ROOT / "build/tests/bench",
                        help="where the programs of tests/bench are (default: build/tests/bench)")


def raise_nofile():
    """Thousands of connections need thousands of descriptors, here and in what is started."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def green_environment(library):
    """The environment in which a program runs green."""
    before = os.environ.get("LD_PRELOAD")
    return {"LD_PRELOAD": f"{library}:{before}" if before else str(library)}


def end_on_sigterm():
    """SIGTERM unwinds like Ctrl-C does, so that every `with` block ends its program."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))


class Program:
    """A running program. `library` makes it green; `cpus` pins it. Its stderr is kept for the
    message in case it fails."""

    def __init__(self, argv, library=None, cpus=None, environment=None):
        argv = [str(word) for word in argv]
        parent = os.getpid()

        def in_child():
            LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != parent:
                os._exit(1)
            if cpus:
                os.sched_setaffinity(0, cpus)

        env = dict(os.environ, **(environment or {}))
        if library:
            env.update(green_environment(library))
        self.name = Path(argv[0]).name + (" (green)" if library else "")
        self.usage = None
        self.errors = tempfile.TemporaryFile()
        try:
            self.process = subprocess.Popen(argv, env=env, stdin=subprocess.PIPE,
                                            stdout=subprocess.PIPE, stderr=self.errors,
                                            preexec_fn=in_child)
        except OSError as error:
            raise Failed(f"{self.name}: {error.strerror}") from error
        self.pid = self.process.pid
        self.pending = b""

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.stop()

    def stop(self, first=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(first)
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()

    def readline(self, seconds):
        """The next line of its stdout, None at the end of it."""
        deadline = time.monotonic() + seconds
        while b"\n" not in self.pending:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.process.stdout], [], [], left)[0]:
                raise Failed(f"{self.name}: silent for {seconds:g} s")
            piece = os.read(self.process.stdout.fileno(), 65536)
            if not piece:
                return None
            self.pending += piece
        line, self.pending = self.pending.split(b"\n", 1)
        return line.decode(errors="replace")

    def say(self, text):
        try:
            self.process.stdin.write(text.encode())
            self.process.stdin.flush()
        except BrokenPipeError:
            raise self.failure() from None

    def wait(self, seconds=10):
        """Waits for its end, which must be exit status 0; keeps its resource usage."""
        deadline = time.monotonic() + seconds
        while self.process.returncode is None:
            pid, status, self.usage = os.wait4(self.pid, os.WNOHANG)
            if pid:
                self.process.returncode = os.waitstatus_to_exitcode(status)
            elif time.monotonic() > deadline:
                raise Failed(f"{self.name}: still running after {seconds:g} s")
            else:
                time.sleep(0.005)
        if self.process.returncode != 0:
            raise self.failure()

    def alive(self):
        """Does not reap it: wait() wants its resource usage, and its /proc entry stays readable."""
        return self.process.returncode is None and not os.waitid(
            os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)

    def failure(self):
        """Why it ended, with what it said last."""
        try:
            status = self.process.wait(2)
        except subprocess.TimeoutExpired:
            return Failed(f"{self.name}: went silent")
        how = f"exit status {status}"
        if status < 0:
            how = f"killed by {signal.Signals(-status).name}"
        self.errors.seek(0)
        said = self.errors.read().decode(errors="replace").strip().splitlines()
        return Failed(f"{self.name}: {how}" + (f": {said[-1]}" if said else ""))

    # What /proc tells about it

    def kernel_threads(self):
        try:
            return len(os.listdir(f"/proc/{self.pid}/task"))
        except OSError:
            return 0

    def status_kib(self, key):
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(key + ":"):
                return int(line.split()[1])
        raise self.failure()  # one that has ended has no memory


class Server(Program):
    """A server of tests/bench: its first line of output is "port N"."""

    def __init__(self, argv, library=None, cpus=None, environment=None):
        super().__init__(argv, library, cpus, environment)
        self.green = library is not None
        try:
            line = self.readline(10)
            if not line or not line.startswith("port "):
                raise self.failure()
        except BaseException:
            self.stop()
            raise
        self.port = int(line.split()[1])

    def check_one_kernel_thread(self):
        """A green server whose threads are native would only look as if it had been measured."""
        count = self.kernel_threads()
        if self.green and self.alive() and count != 1:
            raise Failed(f"{self.name}: {count} kernel threads, its threads are not green")


class Load(Program):
    """The load generator of tests/bench, told to hold: ready() returns when its connections are
    open, go() starts it, result() is what it measured."""

    def __init__(self, programs, server, arguments, cpus=None):
        super().__init__([programs / "load", "--port", server.port, "--server-pid", server.pid,
                          "--hold", *arguments], cpus=cpus)
        self.server = server

    def line(self, seconds):
        line = self.readline(seconds)
        if line is None:
            # A server that died is the reason, not the load which lost its connections.
            time.sleep(0.1)
            raise self.failure() if self.server.alive() else self.server.failure()
        return line

    def ready(self):
        self.line(60)

    def go(self):
        self.say("go\n")

    def result(self, seconds):
        """A dictionary of numbers; `server_cpu_us_per_request` is the last line it prints."""
        found = {}
        while "server_cpu_us_per_request" not in found:
            key, value = self.line(seconds + 30).split()
            found[key] = float(value)
        if found["requests"] == 0:
            raise Failed(f"{self.server.name}: answered nothing")
        return found

    def finish(self):
        """Requests under way are answered, too: a lost one is an error."""
        self.process.stdin.close()
        try:
            self.wait(30)
        except Failed:
            if not self.server.alive():
                raise self.server.failure() from None
            raise


# Words for a person


class Style:
    """Colours where they can be seen and are wanted, plain text elsewhere."""

    def __init__(self, stream):
        self.tty = stream.isatty() and os.environ.get("TERM") != "dumb"
        self.colour = self.tty and not os.environ.get("NO_COLOR")
        self.unicode = (getattr(stream, "encoding", "") or "").lower().replace("-", "") == "utf8"

    def paint(self, code, text):
        return f"\033[{code}m{text}\033[0m" if self.colour else text

    def bold(self, text):
        return self.paint("1", text)

    def dim(self, text):
        return self.paint("2", text)

    def green(self, text):
        return self.paint("1;32", text)

    def red(self, text):
        return self.paint("1;31", text)

    def bar(self, part, width):
        cells = max(1, round(max(0, min(part, 1)) * width))
        return ("█" if self.unicode else "#") * cells + " " * (width - cells)


def number(value):
    """About four digits: 262,691 and 17.9 and 0.52."""
    if value is None:
        return "-"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def times(value):
    return "-" if value is None else f"{value:.2f}"
