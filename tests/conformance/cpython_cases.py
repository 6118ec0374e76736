"""Runs the cases of one of CPython's test modules and writes down each result at once.

    /usr/bin/python3 cpython_cases.py MODULE REPORT DONE [PATTERN...]

This is the half of cpython.py that runs inside the process under test, natively or green. REPORT
gets a line `start CASE` before each case and `RESULT CASE` after it, so that whoever reads it
knows which case hangs or took the process with it; DONE names the cases which an earlier process
has been through. The file is opened for each line: tests look at the descriptors they have.

What `python3 -m test` prepares is prepared here too (resources, hooks, limits). A thread comes and
goes before the first case: libgreen sleeps until a program makes one, and modules that make none
would otherwise try nothing.
"""

import _thread
import fnmatch
import os
import sys
import traceback
import types
import unittest

RESOURCES = ["cpu", "subprocess", "decimal"]  # neither the network nor a screen nor a sound card
ON_LOOPBACK = ["test_socketserver"]  # asks for the network and then uses loopback only

_open, _write, _close, _getpid = os.open, os.write, os.close, os.getpid
_process = os.getpid()


def note(path, what, case):
    if _getpid() != _process:  # a child that runs on where its parent's case should have ended it
        return
    fd = _open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
    _write(fd, f"{what} {case}\n".encode("utf-8", "backslashreplace"))
    _close(fd)


def name_of(test):
    return "_".join(test.id().split())


class Result(unittest.TestResult):
    """One line per case in the report, tracebacks in the log."""

    def __init__(self, report, support):
        super().__init__()
        self.report, self.support = report, support
        self.outcome = None

    def startTest(self, test):
        super().startTest(test)
        self.outcome = None
        self.support.environment_altered = False
        note(self.report, "start", name_of(test))
        print(f"-- {name_of(test)}", file=sys.__stderr__, flush=True)

    def stopTest(self, test):
        super().stopTest(test)
        if self.support.environment_altered and self.outcome in (None, "pass"):
            self.outcome = "altered"  # a thread or a child is left over
        note(self.report, self.outcome or "pass", name_of(test))

    def failed(self, test, error):
        print(f"{name_of(test)} failed:", file=sys.__stderr__)
        traceback.print_exception(*error, file=sys.__stderr__)
        sys.__stderr__.flush()
        if isinstance(test, unittest.TestCase):
            self.outcome = "fail"
        else:  # setUpClass and its kind, which are not started
            note(self.report, "fail", name_of(test))

    def addError(self, test, err):
        self.failed(test, err)

    def addFailure(self, test, err):
        self.failed(test, err)

    def addSubTest(self, test, subtest, err):
        if err is not None:
            self.failed(test, err)

    def addSkip(self, test, reason):
        print(f"{name_of(test)} skipped: {reason}", file=sys.__stderr__, flush=True)
        if not isinstance(test, unittest.TestCase):
            note(self.report, "skip", name_of(test))
        elif self.outcome is None:
            self.outcome = "skip"

    def addExpectedFailure(self, test, err):
        self.outcome = "pass"

    def addUnexpectedSuccess(self, test):
        self.outcome = "fail"


def cases_in(suite):
    """A flat list: classes and modules stay together, so their fixtures run as they would."""
    for item in suite:
        if isinstance(item, unittest.TestSuite):
            yield from cases_in(item)
        else:
            yield item


def a_thread_comes_and_goes():
    lock = _thread.allocate_lock()
    lock.acquire()
    _thread.start_new_thread(lock.release, ())
    lock.acquire()


def main():
    module, report, done_path, *patterns = sys.argv[1:]
    with open(done_path, encoding="utf-8") as lines:
        done = set(lines.read().split())

    a_thread_comes_and_goes()

    from test import support
    from test.libregrtest.setup import setup_tests
    options = types.SimpleNamespace(
        use_resources=RESOURCES + (["network"] if module in ON_LOOPBACK else []), testdir=None,
        huntrleaks=False, memlimit=None, threshold=None, verbose=0, timeout=None, xmlpath=None)
    setup_tests(options)

    suite = unittest.defaultTestLoader.loadTestsFromName(f"test.{module}")
    chosen = unittest.TestSuite()
    for case in cases_in(suite):
        name = name_of(case)
        if name in done:
            continue
        if patterns and not any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns):
            continue
        chosen.addTest(case)
    result = Result(report, support)
    chosen.run(result)
    support.gc_collect()
    support.reap_children()
    note(report, "start", f"test.{module}.exit")


if __name__ == "__main__":
    main()
