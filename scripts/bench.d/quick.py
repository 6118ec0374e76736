"""What noise can't touch: counts of instructions, of system calls and of bytes, each with a bound
about 15 % above what was found when it was written down. A change that makes one of them worse has
to say so here.

Instructions are counted by tests/bench/steps.c, in the green process only; counts at two numbers of
turns are subtracted, so that what comes before and after does not matter.
"""

import re
import shutil
import subprocess

import measure
from benchlib import number
from measure import Skipped

# What is counted: how, with which arguments, and the most it may be.
CHECKS = (
    ("system calls per request, echo, 1 connection", "calls", ("echo", 1), 3.4),
    ("system calls per request, echo, 100 connections", "calls", ("echo", 100), 2.5),
    ("system calls per request, HTTP, 100 connections", "calls", ("http", 100), 2.5),
    # One request each, after more than a second: fd_table.h has the descriptors looked at.
    ("system calls per connection that was idle, and a request", "calls", ("echo", 500, 500, 1.5),
     2.5),
    ("system calls per start of a program, more than native", "start", (), 30),
    ("reads per byte that another thread sends, pipe", "reads", ("pipe",), 1.15),
    ("polls of the kernel per pthread_create and join", "create", (), 0.2),
    ("instructions per sched_yield to another thread", "turns", ("yield",), 215),
    ("instructions per park, semaphore", "turns", ("sem",), 415),
    ("instructions per park, condition variable", "turns", ("cond",), 440),
    ("instructions per park, socketpair", "turns", ("socketpair",), 895),
    ("instructions per park, pipe", "turns", ("pipe",), 895),
    # Much of it is memset and memcpy, of which libc has one for each kind of CPU.
    ("instructions per pthread_create and join", "turns", ("create",), 6500),
    ("instructions per uncontended lock and unlock", "call", ("mutex", "--threads"), 55),
    # The worst is socket(2) and close(2) of it, which note whose the descriptor is.
    ("instructions per dormant call, more than native", "tax", (), 118),
    ("KiB per parked thread, 64 KiB stacks", "parked", (64,), 9.5),
    ("KiB per parked thread, default stacks", "parked", (0,), 13.5),
    ("KiB of libgreen.so, mapped", "size", (), 1023),
)


class Quick:
    def __init__(self, options, style):
        self.options, self.style = options, style
        self.measure = measure.Measure(options, print)

    # Each returns the number, and a word to it if there is one.

    def calls(self, protocol, connections, requests=2000, idle=0):
        self.need("strace")
        counts = self.measure.system_calls(protocol, connections, requests, "green", idle)
        for_fs = counts["for_fs"]
        word = f"and {number(for_fs)} to change the FS base: no FSGSBASE here" if for_fs else ""
        return counts["calls"], word

    def start(self):
        self.need("strace")

        def count(words):
            strace = ["strace", "-c", "-f", "-U", "calls,name", "-o", "/dev/stdout"]
            done = subprocess.run([*strace, *words, "/bin/true"], text=True, capture_output=True,
                                  check=False)
            found = re.search(r"^\s*(\d+)\s+total", done.stdout, re.MULTILINE)
            if not found:
                raise Skipped(f"strace: {done.stderr.strip()}")
            return int(found[1])

        return count(["-E", f"LD_PRELOAD={self.options.library}"]) - count([]), ""

    def size(self):
        return self.measure.size("green")["kib"], ""

    def create(self):
        done = subprocess.run([self.options.programs / "switch", "create", "0.05"], text=True,
                              capture_output=True, check=True, timeout=60,
                              env={"LD_PRELOAD": str(self.options.library),
                                   "GREEN_STATS": "stderr"})
        counts = dict(re.findall(r"^  (.*\S)  +(\d+)$", done.stderr, re.MULTILINE))
        return int(counts["polls of the kernel"]) / int(counts["green threads made"]), ""

    def reads(self, name):
        self.need("strace")
        done = subprocess.run(["strace", "-c", "-f", "-U", "calls,name", "-o", "/dev/stdout",
                               "-E", f"LD_PRELOAD={self.options.library}",
                               self.options.programs / "switch", name, "0.05"],
                              text=True, capture_output=True, check=False, timeout=60)
        counts = {call: int(count) for count, call in
                  re.findall(r"^\s*(\d+) (preadv2|pwritev2)$", done.stdout, re.MULTILINE)}
        if not counts:
            raise Skipped(f"strace: {done.stderr.strip()}")
        return counts["preadv2"] / counts["pwritev2"], ""

    def turns(self, name):
        few, many = (5, 15) if name == "create" else (10, 40)
        (first, done), (second, more) = (self.switch(name, turns) for turns in (few, many))
        return (second - first) / (more - done), ""

    def switch(self, name, turns):
        steps, output = self.steps(["switch", name, f"x{turns}"], green=True)
        return steps, int(output.split()[1])

    def call(self, name, *arguments, green=True):
        few, many = (self.steps(["calls", *arguments, "--count", turns, name], green)[0]
                     for turns in (10, 30))
        return (many - few) / 20, ""

    def tax(self):
        found = {name: self.call(name)[0] - self.call(name, green=False)[0]
                 for name in self.measure.listed("calls")}
        worst = max(found, key=found.get)
        return found[worst], worst

    def parked(self, stack):
        found = []
        for count in (500, 4500):
            with self.measure.parked_threads(count, "green", ["--stack", stack]) as program:
                found.append(program.status_kib("VmRSS") + program.status_kib("VmPTE"))
        return (found[1] - found[0]) / 4000, ""

    # What they need

    @staticmethod
    def need(program):
        if not shutil.which(program):
            raise Skipped(f"no {program} here")

    def steps(self, words, green):
        """Slowed down like this, a thread would use its time slice up at every other call."""
        words = [self.options.programs / words[0], *words[1:]]
        if green:
            words = ["/usr/bin/env", "GREEN_PREEMPT=off", "GREEN_FSBASE=call",
                     f"LD_PRELOAD={self.options.library}",
                     *words]
        done = subprocess.run([str(word) for word in (self.options.programs / "steps", *words)],
                              text=True, capture_output=True, check=False, timeout=60)
        found = re.search(r"^instructions (\d+)$", done.stderr, re.MULTILINE)
        if found:
            return int(found[1]), done.stdout
        if "ptrace: Operation not permitted" in done.stderr:
            raise Skipped("ptrace(2) is not permitted here")
        raise measure.Failed(f"{words[-3]}: {done.stderr.strip()}")

    def run(self):
        """Whether nothing is worse than it may be."""
        good = True
        for what, check, arguments, bound in CHECKS:
            try:
                value, word = getattr(self, check)(*arguments)
            except Skipped as reason:
                print(f"  {what:56} not checked: {reason}")
                continue
            fine = value <= bound
            good = good and fine
            verdict = self.style.green("yes") if fine else self.style.red("NO")
            print(f"  {what:56}{number(value):>8}  ≤ {number(bound):>6}  {verdict}"
                  f"{f'  ({word})' if word else ''}", flush=True)
        return good
