"""Builds libgreen and shows what it does: two ordinary threaded programs, each run as it is and
then with LD_PRELOAD=libgreen.so.

  1. A thread-per-connection HTTP server (tests/bench/http_threads.c) with 1,000 clients at once.
  2. Debian's python3 fetching 200 slow URLs with a pool of 200 threads (scripts/demo.d/fanout.py).

Every answer is compared byte for byte, and the kernel threads are counted in /proc while the
programs work. Exit status 1 if anything is not as it should be.
"""

import argparse
import os
import re
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import benchlib
from benchlib import ROOT, Failed, Load, Program, Server, Style

PYTHON = "/usr/bin/python3"
FANOUT = ROOT / "scripts/demo.d/fanout.py"
BUILD = ROOT / "build"
KINDS = ("native", "green")


class Screen:
    """The steps and their progress. A terminal sees a moving line, a file one line a step."""

    def __init__(self):
        self.style = Style(sys.stdout)
        self.text = ""
        self.started = time.monotonic()
        self.turns = 0

    def say(self, text=""):
        print(text, flush=True)

    def begin(self, text):
        self.started = time.monotonic()
        self.text = text
        self.progress()

    def progress(self, part=None, detail=""):
        if not self.style.tty:
            return
        self.turns += 1
        wheel = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏" if self.style.unicode else "|/-\\"
        mark = self.style.green(wheel[self.turns % len(wheel)])
        bar = "" if part is None else self.style.dim(self.style.bar(part, 20)) + " "
        print(f"\r\033[K  {mark} {self.text:42}{bar}{detail[:12]}", end="", flush=True)

    def end(self, good=True):
        mark = ("✔" if good else "✘") if self.style.unicode else ("ok" if good else "!!")
        mark = self.style.green(mark) if good else self.style.red(mark)
        clear = "\r\033[K" if self.style.tty else ""
        took = self.style.dim(f"{time.monotonic() - self.started:.1f} s")
        self.say(f"{clear}  {mark} {self.text:42}{took}")


# Getting ready


def follow(screen, argv):
    """Runs a command, shows its progress (ninja's "[12/80]" lines if it has them), and fails with
    its last lines."""
    started = time.monotonic()
    last = []
    with Program(["sh", "-c", 'exec "$@" 2>&1', "sh", *argv],
                 environment={"NINJA_STATUS": "[%f/%t] "}) as program:
        program.process.stdin.close()
        part, detail = None, ""
        while True:
            try:
                line = program.readline(0.1)
            except Failed:  # nothing new yet
                if time.monotonic() - started > 900:
                    raise Failed(f"{argv[0]}: no end after 15 minutes") from None
                screen.progress(part, detail)
                continue
            if line is None:
                break
            last = [*last[-19:], line]
            found = re.match(r"\[(\d+)/(\d+)\]", line)
            if found:
                part, detail = int(found[1]) / int(found[2]), f"{found[1]}/{found[2]}"
            screen.progress(part, detail)
        try:
            program.wait()
        except Failed:
            raise Failed("\n".join([f"{' '.join(map(str, argv))}:", *last])) from None


def set_up(screen):
    setup = [ROOT / "scripts/setup", "build"]
    if os.geteuid() == 0:
        screen.begin("installing what the build needs")
        follow(screen, setup)
        screen.end()
    elif subprocess.call(setup) != 0:  # sudo may ask for a password: the screen is its own
        raise Failed("scripts/setup build failed")


def build(screen):
    screen.begin("building libgreen.so")
    generator = [] if (BUILD / "CMakeCache.txt").exists() else ["-G", "Ninja"]
    follow(screen, ["cmake", "-S", ROOT, "-B", BUILD, *generator])
    follow(screen, ["cmake", "--build", BUILD, "--target", "green", "bench_programs"])
    screen.end()


# The two programs


def serve_clients(screen, options, library):
    """The server under load: what it reached, and what it looked like meanwhile."""
    seconds, settle = options.seconds, 0.5
    with Server([options.programs / "http_threads"], library) as server, \
            Load(options.programs, server, ["--connections", options.clients, "--http",
                                            "/bytes/100", "--seconds", seconds,
                                            "--warmup", settle]) as load:
        load.ready()
        load.go()
        start = time.monotonic()
        threads = memory = 0
        while (passed := time.monotonic() - start) < seconds + settle and server.alive():
            screen.progress(passed / (seconds + settle), f"{passed:.0f} s")
            time.sleep(0.1)
            threads = max(threads, server.kernel_threads())
            if server.alive():
                memory = max(memory, server.status_kib("VmRSS") + server.status_kib("VmPTE"))
        found = load.result(seconds)
        load.finish()
    if found["starved"]:
        raise Failed(f"{found['starved']:.0f} of {options.clients:,} clients got no answer in "
                     f"{seconds:g} s")
    return {"score": found["requests_per_second"],
            "shown": f"{found['requests_per_second']:,.0f}", "threads": threads,
            "cpu": f"{found['server_cpu_us_per_request']:.1f} us",
            "memory": memory + threads * benchlib.KERNEL_STACK_KIB}


def fan_out(screen, options, library):
    """python3 against a slow server (which runs natively both times)."""
    count = options.urls
    with Server([options.programs / "http_threads"]) as server, \
            Program([PYTHON, FANOUT, f"http://127.0.0.1:{server.port}", count], library,
                    environment={"no_proxy": "127.0.0.1"}) as program:
        start = time.monotonic()
        threads = 0
        while True:
            try:
                line = program.readline(0.02)
                break
            except Failed:  # nothing new yet
                passed = time.monotonic() - start
                if passed > 30:
                    raise Failed(f"{program.name}: no end after 30 s") from None
                threads = max(threads, program.kernel_threads())
                screen.progress(detail=f"{passed:.1f} s")
        if line is None:
            raise program.failure()
        program.wait()
    right, seconds = line.split()
    if int(right) != count:
        raise Failed(f"{program.name}: only {right} of {count} answers are right")
    usage = program.usage
    return {"score": float(seconds), "shown": f"{float(seconds):.2f} s", "threads": threads,
            "cpu": f"{usage.ru_utime + usage.ru_stime:.2f} s",
            "memory": usage.ru_maxrss + threads * benchlib.KERNEL_STACK_KIB}


def run_both(screen, options, what, run):
    """Runs it natively and green; a Failed stands in for a result that did not come."""
    results = {}
    for kind in KINDS:
        screen.begin(f"{what}, {kind}")
        try:
            results[kind] = run(screen, options, options.library if kind == "green" else None)
            threads = results[kind]["threads"]
            if kind == "green" and threads != 1:
                raise Failed(f"{threads:,} kernel threads: its threads are not green")
            screen.end()
        except Failed as failure:
            results[kind] = failure
            screen.end(good=False)
    return results


# The result


def print_table(screen, title, heads, results):
    """`heads` names the score and the CPU column."""
    style = screen.style
    best = max((r["score"] for r in results.values() if isinstance(r, dict)), default=1)
    screen.say(f"\n  {style.bold(title)}\n")
    screen.say(style.dim(f"{heads[0]:>38}{'kernel threads':>16}{heads[1]:>13}{'memory':>10}"))
    for kind, result in results.items():
        paint = style.green if kind == "green" else style.bold
        if isinstance(result, Failed):
            screen.say(f"  {paint(f'{kind:8}')}{style.red('failed')}: {result}")
            continue
        bar = style.bar(result["score"] / best, 15)
        bar = style.green(bar) if kind == "green" else style.dim(bar)
        memory = f"{result['memory'] / 1024:.0f} MiB"
        screen.say(f"  {paint(f'{kind:8}')}{bar} " + paint(f"{result['shown']:>12}") +
                   paint(f"{result['threads']:>16,}") + f"{result['cpu']:>13}{memory:>10}")


def good(results):
    return all(isinstance(result, dict) for result in results.values())


def print_result(screen, options, server, python):
    print_table(screen, f"{options.clients:,} clients at once, a thread for each of them",
                ("requests/s", "CPU/request"), server)
    if good(server):
        native, green = server["native"]["score"], server["green"]["score"]
        screen.say(f"\n  The same program on one kernel thread: {green / native:.2f} times the "
                   "requests.")
    print_table(screen, f"python3, {options.urls} threads fetch {options.urls} URLs which take "
                        "0.5 s each", ("wall time", "CPU time"), python)
    if good(python):
        screen.say(f"\n  One after the other they would take {options.urls * 0.5:.0f} s.")
    screen.say("\n" + screen.style.dim("  memory: resident pages, page tables and kernel stacks"))


def read_options():
    parser = argparse.ArgumentParser(prog="demo", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=1000, help="clients (default: 1000)")
    parser.add_argument("--urls", type=int, default=200, help="URLs and threads (default: 200)")
    parser.add_argument("--seconds", type=float, default=4, metavar="S",
                        help="how long the clients are served (default: 4)")
    parser.add_argument("--no-setup", action="store_true", help="install nothing")
    parser.add_argument("--no-build", action="store_true", help="install and build nothing")
    benchlib.add_place_options(parser)
    options = parser.parse_args()
    if options.clients < 1 or options.urls < 1 or options.seconds <= 0:
        parser.error("--clients, --urls and --seconds must be positive")
    return options


def main():
    benchlib.end_on_sigterm()
    options = read_options()
    descriptors = benchlib.raise_nofile()
    if options.clients + 32 > descriptors:
        sys.exit(f"demo: RLIMIT_NOFILE allows {descriptors} descriptors, too few for "
                 f"{options.clients} clients")
    screen = Screen()
    screen.say(f"\n  {screen.style.bold('libgreen')}: the threads of an unmodified program on one "
               "kernel thread\n")
    try:
        if not (options.no_setup or options.no_build):
            set_up(screen)
        if not options.no_build:
            build(screen)
        for file in options.library, options.programs / "http_threads":
            if not file.exists():
                raise Failed(f"there is no {file}")
    except Failed as failure:
        if screen.text:
            screen.end(good=False)
        screen.say(f"\n{failure}")
        return 1
    server = run_both(screen, options, f"HTTP server, {options.clients:,} clients", serve_clients)
    python = run_both(screen, options, f"python3, {options.urls} slow URLs", fan_out)
    print_result(screen, options, server, python)
    if not (good(server) and good(python)):
        screen.say("\n  " + screen.style.red("Not everything went as it should: see above."))
        return 1
    screen.say("\n  Your program:      LD_PRELOAD=build/libgreen.so ./existing_app"
               "\n  Measured closely:  scripts/bench\n")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print()
        sys.exit(130)
