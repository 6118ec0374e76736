"""The bars: what the benchmark shows, and how good each number has to be.

A Row names what a measurement (measure.py) finds, and what of it is compared; the tables, the JSON
and the plot are all made from this one list. A Limit compares what the columns hold: "green/epoll"
is the median of the rounds' own ratios, "green-native" that of their differences, "green" the
number itself. A bound of None is shown and judged by nobody.
"""

import statistics
from dataclasses import dataclass, field

COLUMNS = ("native", "epoll", "green")
PEERS = {"pth": "GNU Pth", "st": "State Threads", "fiber": "Boost.Fiber", "gevent": "gevent"}


@dataclass(frozen=True)
class Limit:
    compared: str
    sense: str = ""
    bound: float = None
    part_of: str = ""  # or this part of another column's median, if that is more
    part: float = 0

    def kinds(self):
        return self.compared.replace("-", "/").split("/")

    def peer(self):
        return next((kind for kind in self.kinds() if kind not in COLUMNS), None)

    def of(self, values):
        """What it is in one round; None if it was not measured in that round."""
        found = [values.get(kind) for kind in self.kinds()]
        if None in found:
            return None
        if "-" in self.compared:
            return found[0] - found[1]
        if "/" in self.compared:
            return found[0] / found[1] if found[1] else None
        return found[0]

    def effective_bound(self, medians):
        if self.bound is None or not self.part_of:
            return self.bound
        return max(self.bound, self.part * medians[self.part_of])

    def met(self, value, medians):
        bound = self.effective_bound(medians)
        if bound is None or value is None:
            return None
        return value >= bound if self.sense == ">=" else value <= bound


def least(compared, bound):
    return Limit(compared, ">=", bound)


def most(compared, bound, part_of="", part=0):
    return Limit(compared, "<=", bound, part_of, part)


@dataclass
class Row:
    bar: int  # of the list of bars; 0: beside it
    section: str
    what: str
    key: str  # measurement.number
    limits: tuple
    values: dict = field(default_factory=dict)  # kind -> {round: value}
    failed: set = field(default_factory=set)  # kinds

    def medians(self):
        return {kind: statistics.median(v.values()) for kind, v in self.values.items() if v}

    def rounds(self, limit):
        turns = sorted(set().union(*(v.keys() for v in self.values.values())))
        found = [limit.of({kind: v.get(turn) for kind, v in self.values.items()})
                 for turn in turns]
        return [value for value in found if value is not None]


# One way to put load on a server: how many connections, how many of them active, and where.
@dataclass(frozen=True)
class Case:
    protocol: str  # echo, http; once: echo with a connection for each request
    connections: int
    active: int = 0
    place: str = "apart"  # server and load: a CPU each; together; free
    epoll: float = 0.97
    native: float = None
    full: bool = False

    @property
    def name(self):
        some = f"{self.active}-of-" if self.active else ""
        where = {"apart": "", "together": "-one-cpu", "free": "-free"}[self.place]
        return f"{self.protocol}-{some}{self.connections}{where}"

    @property
    def label(self):
        some = f"{self.active:,} of " if self.active else ""
        where = {"apart": "", "together": ", one CPU", "free": ", any CPU"}[self.place]
        protocol = {"echo": "echo", "http": "HTTP", "once": "connect, echo, close"}[self.protocol]
        return f"{protocol}, {some}{self.connections:,}{where}"


CASES = (
    Case("echo", 1),
    Case("echo", 100, native=1.8),
    Case("echo", 100, place="together"),
    Case("echo", 1000, epoll=0.95, native=3.5),
    Case("echo", 1000, place="together", epoll=0.95, full=True),
    Case("echo", 1000, place="free", epoll=None, full=True),
    Case("echo", 10000, epoll=0.95, native=2.5, full=True),
    Case("echo", 10000, active=100, full=True),
    Case("http", 1, full=True),
    Case("http", 100, native=1.8),
    Case("http", 100, place="together"),
    Case("http", 1000, epoll=0.95, native=3.5),
    Case("http", 10000, epoll=0.95, native=2.5, full=True),
    Case("http", 10000, active=100, full=True),
    Case("once", 100, epoll=0.85, native=1.5),
)
CALL_CASES = (("echo", 1), ("echo", 100), ("http", 1), ("http", 100))
PEER_CASES = (100, 1000)
CONNECTIONS = (100, 1000, 10000)  # of the scale; the first is what the others are compared with
PARKED = (1000, 10000, 100000, 1000000)  # the same
STACKS = ((64, 9.5), (0, 13.5))  # KiB (0: the default), and the most KiB for each connection
SWITCHES = {  # of switch.c
    "yield": (2, (most("green", 20), least("native/green", None))),
    "cond": (2, (least("native/green", 25),)),
    "sem": (2, (least("native/green", 25),)),
    "socketpair": (2, (least("native/green", 1.5),)),
    "pipe": (2, (least("native/green", 1.5),)),
    "create": (3, (most("green", 400), least("native/green", 20))),
    "create-1000": (3, (least("native/green", 20),)),
}
WITH_THREADS = {"mutex": 1.0, "read-null": 1.1, "write-null": 1.1, "read-file": 1.1,
                "write-file": 1.1}  # of calls.c


MEMORY = "Memory of 10,000 idle connections, KiB each"


def load_rows(case):
    bar = 3 if case.protocol == "once" else 1
    start = "A thread for each request, " if case.protocol == "once" else ""
    few = 1 / case.epoll if case.epoll else None
    rate, cpu = [least("green/epoll", case.epoll)], [most("green/epoll", few)]
    if case.native or case.place != "apart":
        rate.append(least("green/native", case.native))
    if case.native:
        cpu.append(least("native/green", case.native))

    def heading(text):
        return f"{start}{text}" if start else text[0].upper() + text[1:]

    yield Row(bar, heading("requests per second"), case.label, f"{case.name}.rate", tuple(rate))
    yield Row(bar, heading("CPU time per request, us"), case.label, f"{case.name}.cpu", tuple(cpu))
    if bar == 1:
        yield Row(bar, heading("99% answered within, us"), case.label, f"{case.name}.p99",
                  (most("green/epoll", 1.2 if case.place != "free" else None),))


def rows(listed):
    """All of them, what stands under one heading together."""
    found = list(unsorted_rows(listed))
    headings = list(dict.fromkeys(row.section for row in found))
    return sorted(found, key=lambda row: (row.bar or 9, headings.index(row.section)))


def unsorted_rows(listed):
    """`listed(program)` tells {name: what} of a program that has such a list."""
    for case in CASES:
        yield from load_rows(case)
    for protocol, connections in CALL_CASES:
        yield Row(1, "System calls per request", Case(protocol, connections).label,
                  f"calls-{protocol}-{connections}.calls", (most("green/epoll", 1.05),))
    for connections in PEER_CASES:
        yield Row(1, "Peers, requests per second", Case("echo", connections).label,
                  f"peers-{connections}.rate",
                  tuple(Limit(f"{kind}/epoll") for kind in ("green", *PEERS)))
    for connections in CONNECTIONS:
        yield Row(1, "CPU time per request, us, of epoll with a stack for each connection",
                  Case("http", connections).label, f"limit-{connections}.cpu",
                  (Limit("stacks/epoll"), Limit("green/stacks")))
    yield Row(2, "Threads on one CPU, ns", "the bare switch", "bare-switch.ns",
              (most("green", 15),))
    for name, what in listed("switch").items():
        bar, limits = SWITCHES[name]
        yield Row(bar, "Threads on one CPU, ns", what, f"switch-{name}.ns", limits)
    for stack, bound in STACKS:
        what = f"{stack} KiB stacks" if stack else "default stacks"
        name = f"memory-{stack or 'default'}"
        yield Row(4, MEMORY, f"{what}, resident + tables",
                  f"{name}.total", (most("green", bound),))
        yield Row(4, MEMORY, f"{what}, page tables", f"{name}.tables",
                  (Limit("green"),))
        yield Row(4, MEMORY, f"{what}, in the kernel", f"{name}.kernel",
                  (Limit("green"),))
    yield Row(4, "Memory of a process, GiB", "1,000,000 parked threads", "million.gib",
              (most("green", 12),))
    for name, what in listed("calls").items():
        made = 1 + (" and " in what)  # a pair of calls may cost what two may
        yield Row(5, "The tax, one thread (dormant), ns", what, f"tax.{name}",
                  (most("green-native", 2 * made, part_of="native", part=0.03),))
    for name, what in listed("calls").items():
        bound = WITH_THREADS.get(name)
        yield Row(5, "The tax, with threads, ns", what, f"tax-threads.{name}",
                  (most("green/native", bound),))
    yield Row(5, "The tax at the start", "start and end of true, ms", "start.ms",
              (most("green-native", 1.0),))
    yield Row(5, "The tax at the start", "libgreen.so mapped, KiB", "size.kib",
              (most("green", 1024),))
    for protocol in ("http", "https"):
        for key, what in (("wall", "wall, s"), ("cpu", "CPU, s"), ("memory", "memory, MiB")):
            better = None if key == "memory" else 1.0
            yield Row(6, "1,000 urllib fetches at once, 100 ms each", f"{protocol}, {what}",
                      f"fetch-{protocol}.{key}",
                      (most("green/native", better), most("green/gevent", better)))
    yield Row(7, "10,000 parked threads, idle", "CPU time, us per second", "idle.cpu",
              (most("green", 0),))
    yield Row(7, "10,000 parked threads, idle", "times on the CPU, per second", "idle.turns",
              (most("green", 0),))
    for count in CONNECTIONS[1:]:
        yield Row(8, f"CPU time per request, times that of {CONNECTIONS[0]:,} connections",
                  f"{count:,} connections", f"scale.{count}", (most("green/epoll", 1.3),))
    for timers in ("", "-timers"):
        with_them = " with a timer" if timers else ""
        yield Row(8, "ns to wake one and be woken", f"{PARKED[0]:,} parked{with_them}",
                  f"parked{timers}.ns", (Limit("green"),))
        for count in PARKED[1:]:
            yield Row(8, f"ns to wake one, times that of {PARKED[0]:,} parked",
                      f"{count:,} parked{with_them}", f"parked{timers}.{count}",
                      (most("green", 1.3),))
    for key, what in (("1", "1 CPU, 1 worker"), ("2", "2 CPUs, 2 workers"),
                      ("ratio", "two against one")):
        yield Row(0, "Computing 0.2 ms per request, requests per second", what, f"workers.{key}",
                  (Limit("green/native"),))
