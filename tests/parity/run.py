"""Runs one program natively and then green, and compares.

    /usr/bin/python3 run.py --source NAME.c --lib libgreen.so PROGRAM

Equal must be: what the program wrote on stdout, and its exit status (the native status must be the
expected one). On a busy machine a native run may print what it does not print on an idle one: where
the two differ the native half runs again, and the green half must have printed what some native run
did. The green half never runs again. It must also have been green: the counters which the library
leaves in the file named by GREEN_STATS say whether threads were made, switches happened and the
process held one kernel thread at its end. The result goes through the ledger (tests/ledger.py).

The first comment of the source may hold lines `PARITY: key=value ...`:

    switches=N        the green run reports at least N switches (1)
    threads=N         ... and at least N threads made (1)
    offloaded=N       ... and at least N calls made by helper threads (0)
    kernel_threads=N  ... and at most N kernel threads at the end (1)
    dormant=1         no thread is made: every process of the green run reports active 0
    timeout=S         seconds until a run is ended (60)
    status=N          the exit status, -N when killed by signal N (0)
    stdin=none|FILE   /dev/null or a file beside the source (none)
    args=A,B          arguments
    native=0          too heavy natively, or as the kernel likes: compare with NAME.expected beside
                      the source instead

With --audit only the green half runs, under the auditor (GREEN_AUDIT=1), as the test NAME.audit:
it must end with the expected status, and no process of it may have made a system call behind the
library's back that could wait. What the ledger lists by its plain name is not audited.

For the developer: PARITY_NATIVE=1 leaves the green run out, PARITY_REPEAT=N makes N runs of each
kind, PARITY_TIMEOUT=S ends every run after S seconds, PARITY_GDB=1 prints gdb's backtrace of a run
that exceeded its time.
"""

import argparse
import difflib
import os
import re
import select
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import ledger  # noqa: E402

NUMBERS = {"switches": 1, "threads": 1, "offloaded": 0, "kernel_threads": 1, "dormant": 0,
           "timeout": 60, "status": 0, "native": 1}
TEXTS = {"stdin": "none", "args": ""}
KEPT_LINES = 60  # of a long text, in a report
NATIVE_RUNS = 4  # at most


class Failure(Exception):
    """The test failed; the text says how."""


class Skip(Exception):
    """The test cannot be run on this machine; the text says why."""


class Broken(Exception):
    """The test itself is wrong (its native half): no entry of the ledger excuses that."""


class Run:
    """What one run of the program left behind."""

    def __init__(self, kind, pid, status, out, err, seconds):
        self.kind, self.pid, self.status = kind, pid, status
        self.out, self.err, self.seconds = out, err, seconds


def settings_of(source):
    """The PARITY lines of the source's first comment, over the defaults."""
    values = {**NUMBERS, **TEXTS}
    with open(source, encoding="utf-8") as text:
        head = text.read(8192)
    comment = re.match(r"\s*(/\*.*?\*/|(?://[^\n]*\n)+)", head, re.DOTALL)
    for line in re.findall(r"PARITY:([^\n]*)", comment.group(1) if comment else ""):
        for pair in line.replace("*/", " ").split():
            key, equals, value = pair.partition("=")
            if not equals or key not in values:
                raise Broken(f"{source}: unknown setting {pair!r} after PARITY:")
            try:
                values[key] = int(value) if key in NUMBERS else value
            except ValueError:
                raise Broken(f"{source}: {pair!r} wants a number") from None
    values["timeout"] = int(os.environ.get("PARITY_TIMEOUT", values["timeout"]))
    return values


def shortened(text):
    lines = text.splitlines()
    if len(lines) > KEPT_LINES:
        left_out = len(lines) - KEPT_LINES
        lines = lines[:KEPT_LINES // 2] + [f"... {left_out} lines ..."] + lines[-KEPT_LINES // 2:]
    return "\n".join(lines)


def indented(title, data):
    text = data.decode("utf-8", "replace") if isinstance(data, bytes) else data
    if not text.strip():
        return ""
    return f"{title}:\n" + "".join(f"    {line}\n" for line in shortened(text).splitlines())


def where_it_hangs(pid):
    """What the kernel says of each task of a process that exceeded its time."""
    report = ""
    for task in sorted(os.listdir(f"/proc/{pid}/task"), key=int):
        facts = []
        for name in ("comm", "wchan", "syscall"):
            try:
                with open(f"/proc/{pid}/task/{task}/{name}", encoding="utf-8") as file:
                    facts.append(f"{name} {file.read().strip()}")
            except OSError:
                pass
        report += f"task {task}: {', '.join(facts)}\n"
    if os.environ.get("PARITY_GDB"):
        gdb = ["gdb", "-p", str(pid), "-batch", "-nx", "-ex", "thread apply all backtrace"]
        try:
            report += subprocess.run(gdb, check=False, stdin=subprocess.DEVNULL, timeout=60,
                                     stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                     ).stdout.decode("utf-8", "replace")
        except (OSError, subprocess.TimeoutExpired) as error:
            report += f"no backtrace: {error}\n"
    return report


def status_text(status):
    if status >= 0:
        return f"status {status}"
    try:
        return f"killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"killed by signal {-status}"


def run(kind, command, values, source, folder, environment):
    """Runs the program once, in a folder and a process group of its own."""
    workplace = os.path.join(folder, f"{kind}-work")
    os.makedirs(workplace, exist_ok=True)
    input_path = os.devnull
    if values["stdin"] != "none":
        input_path = os.path.join(os.path.dirname(source), values["stdin"])
    out_path, err_path = os.path.join(folder, f"{kind}.out"), os.path.join(folder, f"{kind}.err")
    with open(input_path, "rb") as stdin, open(out_path, "wb") as out, open(err_path, "wb") as err:
        begun = time.monotonic()
        process = subprocess.Popen(command, stdin=stdin, stdout=out, stderr=err, cwd=workplace,
                                   env={**environment, "TMPDIR": workplace},
                                   start_new_session=True)
        pidfd = os.pidfd_open(process.pid)
        ended = select.poll()
        ended.register(pidfd, select.POLLIN)
        in_time = bool(ended.poll(values["timeout"] * 1000))
        seconds = time.monotonic() - begun
        where = "" if in_time else where_it_hangs(process.pid)
        # Not reaped yet, so the group's number is still ours: end what the program left running.
        os.killpg(process.pid, signal.SIGKILL)
        status = process.wait()
        os.close(pidfd)
    with open(out_path, "rb") as out, open(err_path, "rb") as err:
        result = Run(kind, process.pid, status, out.read(), err.read(), seconds)
    if not in_time:
        raise Failure(f"the {kind} run was ended after {values['timeout']} s\n" + where
                      + indented(f"{kind} stdout", result.out)
                      + indented(f"{kind} stderr", result.err))
    return result


def native_run(command, values, source, folder, environment):
    if not values["native"]:
        expected = os.path.splitext(source)[0] + ".expected"
        try:
            with open(expected, "rb") as text:
                return Run("native", 0, values["status"], text.read(), b"", 0.0)
        except OSError as error:
            raise Broken(f"native=0, but {expected}: {error.strerror}") from None
    try:
        result = run("native", command, values, source, folder, environment)
    except Failure as failure:
        raise Broken(str(failure)) from None
    if result.status != values["status"]:
        raise Broken(f"the native run ended with {status_text(result.status)}, "
                     f"not {status_text(values['status'])}\n"
                     + indented("native stdout", result.out)
                     + indented("native stderr", result.err))
    return result


def native_runs(*arguments):
    """Yields native runs that ended as expected; Broken when there is none among them."""
    ended_well = False
    for left in reversed(range(NATIVE_RUNS)):
        try:
            native = native_run(*arguments)
        except Broken:
            if not left and not ended_well:
                raise
        else:
            ended_well = True
            yield native


def blocks_of(path):
    """The counters of each process that ended: a list of dictionaries."""
    blocks, block = [], {}
    if not os.path.exists(path):
        return blocks
    with open(path, encoding="utf-8", errors="replace") as lines:
        for line in lines:
            words = line.split(None, 1)
            if not words:
                if block:
                    blocks.append(block)
                block = {}
            elif len(words) == 2:
                key, value = words[0], words[1].strip()
                if key in ("native", "audit"):
                    block.setdefault(key, []).append(value)
                else:
                    block[key] = int(value) if value.lstrip("-").isdigit() else value
    if block:
        blocks.append(block)
    return blocks


def block_text(block):
    lines = []
    for key, value in block.items():
        lines += [f"{key} {one}" for one in (value if isinstance(value, list) else [value])]
    return "\n".join(lines)


def counter_problems(blocks, green, values):
    """Why the counters do not show a green run; an empty list when they do."""
    if values["dormant"]:
        woken = [block for block in blocks if block.get("active") != 0]
        return [f"process {block.get('pid')} ({block.get('program')}) was not dormant"
                for block in woken]
    main = next((block for block in reversed(blocks) if block.get("pid") == green.pid), None)
    if main is None:
        return [] if green.status < 0 else ["no counters from the main process"]
    problems = []
    if main.get("active") != 1:
        problems.append("active is not 1: no green thread was made")
    if not 1 <= main.get("kernel_threads", -1) <= values["kernel_threads"]:
        problems.append(f"kernel_threads {main.get('kernel_threads')} at the end, "
                        f"allowed {values['kernel_threads']}")
    for counter, bound in (("threads_made", "threads"), ("switches", "switches"),
                           ("offloaded", "offloaded")):
        if main.get(counter, -1) < values[bound]:
            problems.append(f"{counter} {main.get(counter)}, at least {values[bound]} expected")
    return problems


def compare(native, green, blocks, values):
    """Raises Failure with a report when the green run is not as the native one."""
    report = ""
    if green.status != native.status:
        report += (f"native ended with {status_text(native.status)}, "
                   f"green with {status_text(green.status)}\n")
    if green.out != native.out:
        pieces = [run.out.decode("utf-8", "backslashreplace").splitlines()
                  for run in (native, green)]
        changes = list(difflib.unified_diff(*pieces, "native", "green", lineterm=""))
        report += "stdout differs" + (":\n" if changes else " in its line ends\n")
        report += indented("", "\n".join(changes)).removeprefix(":\n")
    problems = counter_problems(blocks, green, values)
    report += "".join(f"counters: {problem}\n" for problem in problems)
    if report:
        report += indented("native stderr", native.err) + indented("green stderr", green.err)
        if problems:
            report += indented("counters", "\n\n".join(map(block_text, blocks)))
        raise Failure(report)


def audit(command, values, source, folder, environment):
    """One run under the auditor; returns the line that reports its success."""
    green = run("green", command, values, source, folder, {**environment, "GREEN_AUDIT": "1"})
    if green.status != values["status"]:
        raise Failure(f"ended with {status_text(green.status)}, not "
                      f"{status_text(values['status'])}\n" + indented("stderr", green.err))
    awake = [block for block in blocks_of(environment["GREEN_STATS"]) if block.get("active")]
    if not all("audited" in block for block in awake):
        raise Skip("this kernel cannot audit")
    surprises = [one for block in awake for one in block.get("audit", [])]
    if surprises:
        raise Failure("the auditor found\n" + "".join(f"    {one}\n" for one in surprises)
                      + indented("stderr", green.err))
    return f"{green.seconds:.2f} s, {sum(block['audited'] for block in awake)} calls looked at"


def once(options, values, folder):
    """One comparison, or one audit; returns the line that reports its success."""
    source = os.path.abspath(options.source)
    command = [os.path.abspath(options.program)]
    command += [word for word in values["args"].split(",") if word]
    plain = {key: value for key, value in os.environ.items()
             if not key.startswith("GREEN_") and key != "LD_PRELOAD"}
    plain.update(LC_ALL="C", LANG="C")
    stats = os.path.join(folder, "stats")
    library = os.path.abspath(options.lib)
    preloaded = {**plain, "LD_PRELOAD": library, "GREEN_STATS": stats}
    if not options.native_only and not os.path.exists(library):
        raise Broken(f"there is no {library}")
    if options.audit:
        return audit(command, values, source, folder, preloaded)
    natives = native_runs(command, values, source, folder, plain)
    native = next(natives)
    line = f"{len(native.out.splitlines())} lines, native {native.seconds:.2f} s"
    if options.native_only:
        return line
    green = run("green", command, values, source, folder, preloaded)
    blocks = blocks_of(stats)
    if native.out != green.out:
        line += ", natively not always the same"
        native = next((another for another in natives if another.out == green.out), native)
    compare(native, green, blocks, values)
    main = next((block for block in reversed(blocks) if block.get("pid") == green.pid), {})
    return (f"{line}, green {green.seconds:.2f} s, "
            f"{main.get('threads_made', 0)} threads, {main.get('switches', 0)} switches")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--source", required=True, help="the program's source")
    parser.add_argument("--lib", default="libgreen.so", help="the library to preload")
    parser.add_argument("--native-only", action="store_true",
                        default=bool(os.environ.get("PARITY_NATIVE")))
    parser.add_argument("--audit", action="store_true", help="one green run under the auditor")
    parser.add_argument("program")
    options = parser.parse_args()
    name = "parity." + os.path.splitext(os.path.basename(options.source))[0]
    if options.audit and name in ledger.entries():
        print(f"{name} is a known failure: not audited")
        return ledger.SKIPPED
    name += ".audit" if options.audit else ""
    try:
        values = settings_of(options.source)
        for _ in range(int(os.environ.get("PARITY_REPEAT", "1"))):
            with tempfile.TemporaryDirectory(prefix="parity-") as folder:
                print(f"{name}: {once(options, values, folder)}", flush=True)
    except Broken as broken:
        print(f"{name}: the test is broken: {broken}")
        return 1
    except Skip as reason:
        print(f"skipped: {reason}")
        return ledger.SKIPPED
    except Failure as failure:
        return ledger.judge(name, f"{name}: {failure}")
    return 0 if options.native_only else ledger.judge(name, None)


if __name__ == "__main__":
    sys.exit(main())
