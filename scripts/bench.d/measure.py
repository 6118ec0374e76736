"""The measurements. Each has a name and a function which measures one kind of program once, in a
fresh process, and returns {number: value}; bars.py says which rows show these numbers.
"""

import importlib.util
import os
import re
import shutil
import signal
import statistics
import subprocess
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import bars
import benchlib
import elf
from benchlib import Failed, Load, Program, Server

HERE = benchlib.ROOT / "tests/bench"
PYTHON = "/usr/bin/python3"
KINDS = ("native", "green", "epoll")
THREADED = ("native", "green")


class Skipped(Exception):
    """This machine does not let it be measured."""


@dataclass
class Measurement:
    name: str
    run: callable  # of a kind
    kinds: tuple = KINDS
    most_rounds: int = 1000
    full: bool = False  # takes long


def has_gevent():
    return importlib.util.find_spec("gevent") is not None


class Measure:
    def __init__(self, options, note):
        self.options, self.note = options, note
        cpus = sorted(os.sched_getaffinity(0))
        self.server_cpu, self.load_cpu = {cpus[0]}, {cpus[-1]}
        self.starved = {}  # (kind, case): most connections without an answer in any round
        self.certificate = tempfile.NamedTemporaryFile(suffix=".pem")

    # Starting things

    def few(self, count, smoke=20):
        """A count, and what stands for it where nobody reads the numbers."""
        return min(count, smoke) if self.options.smoke else count

    def library(self, kind):
        return self.options.library if kind == "green" else None

    def program(self, name):
        path = self.options.programs / name
        if not path.exists():
            raise Skipped(f"not measured: {name} was not built (its library is not here)")
        return path

    def server(self, kind, cpus=None, protocol="echo", arguments=(), environment=None):
        if kind == "gevent":
            argv = [PYTHON, HERE / "peers/echo_gevent.py"]
        elif kind in bars.PEERS:
            argv = [self.program(f"echo_{kind}")]
        else:
            by_hand = kind in ("epoll", "stacks")
            argv = [self.program(f"{protocol}_{'epoll' if by_hand else 'threads'}")]
            if by_hand:
                arguments = ["--stacks"] if kind == "stacks" else ()
        return Server([*argv, *arguments], self.library(kind), cpus,
                      environment)

    def load(self, server, cpus, words=(), **arguments):
        return Load(self.options.programs, server,
                    [*words, *(f"--{key}={value}" for key, value in arguments.items())], cpus)

    def line(self, program, seconds=30):
        line = program.readline(seconds)
        if line is None:
            raise program.failure()
        return line

    def lines(self, argv, library=None, cpus=None, seconds=60, environment=None):
        """{first word: number} of what a program says until it ends, and its resource usage."""
        with Program(argv, library, cpus, environment) as program:
            found = {}
            while (line := program.readline(seconds)) is not None:
                key, value = line.split()
                found[key] = float(value)
            program.wait()
        return found

    def listed(self, program):
        """{name: what} that a program with many measurements tells."""
        words = ["--list"] if program == "calls" else []
        text = subprocess.run([self.options.programs / program, *words], check=True, text=True,
                              stdout=subprocess.PIPE).stdout
        return dict(line.split(maxsplit=1) for line in text.splitlines())

    # Servers

    def loaded(self, case, kind):
        seconds = self.options.seconds
        server_cpus, load_cpus = {"apart": (self.server_cpu, self.load_cpu),
                                  "together": (self.server_cpu, self.server_cpu),
                                  "free": (None, None)}[case.place]
        protocol = "http" if case.protocol == "http" else "echo"
        words = {"http": ["--http=/bytes/100"], "once": ["--once"]}.get(case.protocol, [])
        if server_cpus and server_cpus != load_cpus:
            words = [*words, "--spin"]
        connections = self.few(case.connections)
        rounds_first = connections / 20000  # two for each, or three
        with self.server(kind, server_cpus, protocol) as server, \
                self.load(server, load_cpus, words, connections=connections,
                          active=min(case.active or connections, connections), seconds=seconds,
                          warmup=seconds / 4 + rounds_first) as load:
            load.ready()
            server.check_one_kernel_thread()
            load.go()
            result = load.result(seconds * 2)
            load.finish()
        place = kind, case.label
        self.starved[place] = max(result["starved"], self.starved.get(place, 0))
        return {"rate": result["requests_per_second"], "p99": result["p99_us"],
                "cpu": result["server_cpu_us_per_request"]}

    def system_calls(self, protocol, connections, requests, kind, idle=0):
        """strace looks at nothing but the requests, and at `idle` seconds before them: it comes when
        all connections are open, and goes before they are closed. What changes the FS base where
        user mode cannot is counted apart: a tracer has the kernel run somebody else at each call,
        which is what the trap of hooks/fs_trap.h, that spares these calls, cannot bear."""
        words = ["--http=/bytes/100"] if protocol == "http" else []
        with self.server(kind, self.server_cpu, protocol,
                         environment={"GREEN_FSBASE": "call"}) as server, \
                self.load(server, self.load_cpu, words, connections=connections,
                          requests=requests) as load:
            load.ready()
            server.check_one_kernel_thread()
            with Program(["strace", "-c", "-f", "-U", "calls,name", "-p", server.pid,
                          "-o", "/dev/stdout"]) as strace:
                self.wait_for_tracer(server, strace)
                time.sleep(idle)
                load.go()
                load.result(60)
                strace.process.send_signal(signal.SIGINT)
                counts = self.strace_counts(strace)
            load.finish()
        for_fs = counts.pop("arch_prctl", 0)
        return {"calls": sum(counts.values()) / requests, "for_fs": for_fs / requests}

    @staticmethod
    def strace_counts(strace):
        counts = {}
        while (line := strace.readline(30)) is not None:
            found = re.match(r"\s*(\d+)\s+(\w+)\s*$", line)
            if found and found[2] != "total":
                counts[found[2]] = int(found[1])
        return counts

    @staticmethod
    def wait_for_tracer(server, strace):
        """Every thread has to be traced before the load begins."""
        tasks = Path(f"/proc/{server.pid}/task")
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            if not server.alive():
                raise server.failure()
            states = [(task / "status").read_text() for task in tasks.iterdir()]
            if all(f"TracerPid:\t{strace.pid}\n" in state for state in states):
                return
            if not strace.alive():
                raise Skipped(f"system calls are not counted: {strace.failure()}")
            time.sleep(0.02)
        raise Failed("strace did not attach to all threads within 20 s")

    def scale(self, kind):
        """The CPU time per request with more and more connections, times that with the fewest."""
        found = {}
        for count in bars.CONNECTIONS:
            found[count] = self.loaded(bars.Case("echo", count), kind)["cpu"]
        return {count: cpu / found[bars.CONNECTIONS[0]] for count, cpu in found.items()}

    def workers(self, kind):
        """A server that computes, with one CPU and with two: a native one may use both, a green one
        is started twice by `green --workers 2`. The load needs little, wherever it runs."""
        program = [self.program("echo_threads"), "--work", 200000]
        cpus = sorted(self.server_cpu | self.load_cpu)
        found = {}
        for count in (1, 2)[:len(cpus)]:
            if kind == "green":
                green = benchlib.ROOT / "scripts/green"
                server = Server([green, "--workers", count, "--", *program],
                                environment={"GREEN_LIBRARY": str(self.options.library)})
            else:
                server = Server(program, cpus=set(cpus[:count]))
            with server:
                for _ in range(1, count if kind == "green" else 1):
                    server.readline(10)  # another worker that listens
                with self.load(server, None, connections=64, seconds=self.options.seconds,
                               warmup=self.options.seconds / 4) as load:
                    load.ready()
                    load.go()
                    result = load.result(self.options.seconds * 2)
                    load.finish()
            found[str(count)] = result["requests_per_second"]
        if len(found) == 2:
            found["ratio"] = found["2"] / found["1"]
        return found

    # Memory and waiting threads

    def memory(self, stack, kind):
        """From one connection to many, so that what the first one needs is not counted."""
        def look(server):
            return (server.status_kib("VmRSS"), server.status_kib("VmPTE"),
                    server.kernel_threads() * benchlib.KERNEL_STACK_KIB)

        found, connections = [], self.few(10000)
        with self.server(kind, self.server_cpu, arguments=["--stack", stack]) as server, \
                self.load(server, self.load_cpu, connections=1) as first:
            first.ready()
            time.sleep(0.05)
            found.append(look(server))
            with self.load(server, self.load_cpu, connections=connections) as many:
                many.ready()
                server.check_one_kernel_thread()
                time.sleep(0.05)
                found.append(look(server))
        resident, tables, kernel = [(b - a) / connections for a, b in zip(*found)]
        return {"total": resident + tables, "tables": tables, "kernel": kernel}

    def parked_threads(self, count, kind, arguments=()):
        program = Program([self.program("parked"), count, *arguments], self.library(kind),
                          self.server_cpu)
        try:
            self.line(program, 300)
        except BaseException:
            program.stop()
            raise
        return program

    def parked(self, arguments, kind):
        """Natively up to 10,000: more are seldom allowed."""
        found = {}
        most = 10000 if kind == "native" else 1000000 if self.options.full else 100000
        for count in (count for count in bars.PARKED if count <= most):
            with self.parked_threads(self.few(count), kind, arguments) as program:
                turns, took = 1000, []
                for _ in range(9):
                    program.say(f"{turns}\n")
                    took.append(float(self.line(program)))
                    turns = max(1000, int(self.options.seconds / 30 * 1e9 / took[-1]))
            found[count] = min(took[1:])
        first = found[bars.PARKED[0]]
        return {"ns": first, **{count: ns / first for count, ns in found.items()}}

    def million(self, kind):
        with self.parked_threads(self.few(1000000), kind) as program:
            kib = program.status_kib("VmRSS") + program.status_kib("VmPTE")
        return {"gib": kib / 1024 / 1024}

    def idle(self, kind):
        """What the kernel says of the time that each thread ran, and how often. A look at what has
        lasted for a second or two is no tick, and is over before."""
        def look(pid):
            found = [list(map(int, (task / "schedstat").read_text().split()))
                     for task in Path(f"/proc/{pid}/task").iterdir()]
            return sum(line[0] for line in found), sum(line[2] for line in found)

        with self.parked_threads(self.few(10000), kind) as program:
            time.sleep(0.1 if self.options.smoke else 3.5)
            start, before = time.monotonic(), look(program.pid)
            time.sleep(self.options.seconds * 2)
            after, seconds = look(program.pid), time.monotonic() - start
        return {"cpu": (after[0] - before[0]) / 1000 / seconds,
                "turns": (after[1] - before[1]) / seconds}

    # Threads and calls

    def switch(self, name, kind):
        argv = [self.program("switch"), name, self.options.seconds / 5]
        return {"ns": self.lines(argv, self.library(kind), self.server_cpu)[name]}

    def bare_switch(self, _):
        return self.lines([self.program("bare_switch"), self.options.seconds / 5],
                          cpus=self.server_cpu)

    def tax(self, arguments, kind):
        argv = [self.program("calls"), *arguments, self.options.seconds / 2]
        return self.lines(argv, self.library(kind), self.server_cpu)

    def start(self, kind):
        environment = {**os.environ, **(benchlib.green_environment(self.options.library)
                                        if kind == "green" else {})}
        took = []
        for _ in range(self.few(100)):
            start = time.perf_counter_ns()
            os.waitpid(os.posix_spawn("/bin/true", ["true"], environment), 0)
            took.append(time.perf_counter_ns() - start)
        return {"ms": statistics.median(took) / 1e6}

    def size(self, _):
        loaded = [(address // 4096 * 4096, address + length)
                  for kind, _, _, address, _, _, length, _ in elf.Elf(self.options.library).segments
                  if kind == elf.PT_LOAD]
        return {"kib": (max(end for _, end in loaded) - min(at for at, _ in loaded)) / 1024}

    # The fan-out. The pages come from a green server, whoever fetches them.

    def fetch(self, protocol, kind):
        count = self.few(1000)
        argv = [self.program(f"{protocol}_threads")]
        words = ["--gevent"] if kind == "gevent" else []
        if protocol == "https":
            argv += ["--certificate", self.certificate.name]
            words += ["--certificate", self.certificate.name]
        environment = {"no_proxy": "127.0.0.1"}
        library = None if self.options.no_green else self.options.library
        with Server(argv, library, self.load_cpu) as server:
            url = f"{protocol}://127.0.0.1:{server.port}/sleep/100"
            found = self.lines([PYTHON, HERE / "fetch.py", url, count, *words], self.library(kind),
                               self.server_cpu, environment=environment)
        found["memory"] /= 1024
        return found

    # All of them

    def all(self):
        every, full = [], self.options.full
        for case in bars.CASES:
            every.append(Measurement(case.name, partial(self.loaded, case), full=case.full))
        if shutil.which("strace"):
            for protocol, connections in bars.CALL_CASES:
                run = partial(self.system_calls, protocol, connections, self.few(10000, 200))
                every.append(Measurement(f"calls-{protocol}-{connections}", run, most_rounds=1))
        else:
            self.note("not measured: system calls per request (no strace here)")
        peers = [kind for kind in bars.PEERS
                 if (has_gevent() if kind == "gevent" else
                     (self.options.programs / f"echo_{kind}").exists())]
        if absent := [name for kind, name in bars.PEERS.items() if kind not in peers]:
            self.note(f"not here: {', '.join(absent)} (scripts/setup bench, and build again)")
        for connections in bars.PEER_CASES:
            every.append(Measurement(f"peers-{connections}",
                                     partial(self.loaded, bars.Case("echo", connections)),
                                     ("epoll", "green", *peers), full=True))
        for connections in bars.CONNECTIONS:
            every.append(Measurement(f"limit-{connections}",
                                     partial(self.loaded, bars.Case("http", connections)),
                                     ("epoll", "stacks", "green"), full=connections > 1000))
        every.append(Measurement("bare-switch", self.bare_switch, ("green",)))
        for name in self.listed("switch"):
            every.append(Measurement(f"switch-{name}", partial(self.switch, name), THREADED))
        for stack, _ in bars.STACKS:
            every.append(Measurement(f"memory-{stack or 'default'}", partial(self.memory, stack),
                                     most_rounds=2))
        every += [
            Measurement("million", self.million, ("green",), 1, full=True),
            Measurement("tax", partial(self.tax, []), THREADED),
            Measurement("tax-threads", partial(self.tax, ["--threads"]), THREADED),
            Measurement("start", self.start, THREADED),
            Measurement("size", self.size, ("green",), 1)]
        fetchers = (*THREADED, *(["gevent"] if "gevent" in peers else []))
        for protocol in ("http", "https"):
            every.append(Measurement(f"fetch-{protocol}", partial(self.fetch, protocol), fetchers,
                                     most_rounds=5 if full else 3))
        every += [
            Measurement("idle", self.idle, THREADED, 1),
            Measurement("scale", self.scale, ("green", "epoll"), 5 if full else 3),
            Measurement("parked", partial(self.parked, []), THREADED, 3 if full else 2),
            Measurement("parked-timers", partial(self.parked, ["--timers"]), THREADED,
                        3 if full else 2),
            Measurement("workers", self.workers, THREADED, 5 if full else 3)]
        return every
