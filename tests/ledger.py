"""The ledger of known failures, tests/known_failures.txt, for every kind of test.

One line per entry, `test-name: reason`, with the name as ctest prints it. An entry inverts the
test's result: a listed test that fails is reported and counts as passed; one that passes is an
error, so that no entry outlives its reason. An entry which names no test is an error as well.

A test written in Python asks `judge`; any other command is run by

    /usr/bin/python3 tests/ledger.py run NAME -- COMMAND [ARGS...]

and `/usr/bin/python3 tests/ledger.py check BUILD_DIR` compares the entries with ctest's names.
"""

import json
import os
import subprocess
import sys

LEDGER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "known_failures.txt")
SKIPPED = 77  # the exit status of a test that could not be run here


class LedgerError(Exception):
    """The ledger itself is wrong."""


def entries(path=LEDGER):
    """The reasons by test name."""
    found = {}
    if not os.path.exists(path):
        return found
    with open(path, encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            text = line.strip()
            if not text or text.startswith("#"):
                continue
            name, colon, reason = text.partition(":")
            name, reason = name.strip(), reason.strip()
            if not colon or not name or " " in name or not reason:
                raise LedgerError(f"{path}:{number}: expected `test-name: reason`, got: {text}")
            if name in found:
                raise LedgerError(f"{path}:{number}: {name} is listed twice")
            found[name] = reason
    return found


def judge(name, failure, path=LEDGER):
    """The exit status of the test `name`, which passed (failure is None) or failed (a text)."""
    try:
        reason = entries(path).get(name)
    except LedgerError as error:
        print(error)
        return 1
    if failure is not None:
        print(failure.rstrip("\n"))
    if reason is None:
        return 0 if failure is None else 1
    if failure is None:
        print(f"{name} passes, but {path} lists it ({reason}): remove the entry")
        return 1
    print(f"{name}: a known failure ({reason})")
    return 0


def run(name, command):
    """Runs a command as the test `name`."""
    try:
        status = subprocess.run(command, check=False).returncode
    except OSError as error:
        print(f"{name}: cannot run {command[0]}: {error.strerror}")
        return 1
    if status == SKIPPED:
        return SKIPPED
    return judge(name, None if status == 0 else f"{name}: {command[0]} ended with status {status}")


def check(build_dir):
    """Every entry names a test of this build."""
    listing = subprocess.run(["ctest", "--show-only=json-v1"], cwd=build_dir, check=True,
                             stdout=subprocess.PIPE).stdout
    names = {test["name"] for test in json.loads(listing)["tests"]}
    try:
        listed = entries()
    except LedgerError as error:
        print(error)
        return 1
    strangers = [name for name in listed if name not in names]
    for name in strangers:
        print(f"{LEDGER}: there is no test named {name}")
    print(f"{len(listed)} known failures, {len(names)} tests")
    return 1 if strangers else 0


def main(arguments):
    if len(arguments) >= 4 and arguments[0] == "run" and arguments[2] == "--":
        return run(arguments[1], arguments[3:])
    if len(arguments) == 2 and arguments[0] == "check":
        return check(arguments[1])
    print("usage: ledger.py run NAME -- COMMAND [ARGS...] | ledger.py check BUILD_DIR",
          file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
