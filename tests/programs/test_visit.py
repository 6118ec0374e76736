"""The two programs of a tutorial on cooperative sockets, written for plain threads.

One fetches three pages over HTTPS at once: it says "Visit" three times, and then what has come, in
the order in which it came. The other one uses a pool of two: the third visit begins when the first
page is there. With `green --pool 2` the first program does what the second one does.
"""

import os
import subprocess

from harness import HERE, PYTHON, expect_equal, folder, main, needs, run, test
from tls import TlsServer, certificate


def programs():
    """Commands that fetch all at once, and commands that fetch two at a time."""
    binary = os.path.join(folder(), "visit")
    built = subprocess.run(
        ["c++", "-std=c++20", "-O1", "-o", binary, os.path.join(HERE, "visit.cpp"), "-lcurl",
         "-lssl", "-lcrypto", "-pthread"], capture_output=True, check=False)
    assert built.returncode == 0, built.stderr.decode()
    python = [PYTHON, os.path.join(HERE, "visit.py")]
    return ([[*python, "threads"], [binary, "threads", "curl"], [binary, "threads", "openssl"]],
            [[*python, "futures"], [binary, "two", "curl"], [binary, "two", "openssl"]])


def story(program):
    """What it printed, with the pages' numbers for their addresses: "V1" and "1"."""
    told = []
    for line in program.output.decode().splitlines():
        words = line.split()
        number = words[-1].rpartition("/")[2]
        told.append("V" + number if words[0] == "Visit" else number)
        assert words[0] in ("Visit", number), f"{program}: {line}"
    assert program.status == 0, f"{program} ended with {program.status}: {program.errors[-500:]}"
    if not program.green:  # native threads that are made together begin in any order
        at_once = 2 if "V3" not in told[:3] else 3
        told[:at_once] = sorted(told[:at_once])
    return told


def fetch(command, server, path, delays, **options):
    # The page of number N has N bytes.
    urls = [server.url(ms, number) for number, ms in enumerate(delays, 1)]
    return run(*command, path + ".crt", *urls, **options)


AT_ONCE = [1800, 600, 1200]
IN_TURN = [2100, 500, 700]


@test(timeout=120)
def visit_all_at_once():
    needs("c++")
    path = certificate()
    with TlsServer(path) as server:
        for command in programs()[0]:
            for green in (False, True):
                program = fetch(command, server, path, AT_ONCE, green=green)
                expect_equal(["V1", "V2", "V3", "2", "3", "1"], story(program), str(program))
                assert program.seconds < 3.6, f"{program} took {program.seconds} s"
                program.check_green(threads=3)


@test(timeout=120)
def visit_two_at_a_time():
    needs("c++")
    path = certificate()
    expected = ["V1", "V2", "2", "V3", "3", "1"]
    with TlsServer(path) as server:
        at_once, in_turn = programs()
        for command in in_turn:
            for green in (False, True):
                program = fetch(command, server, path, IN_TURN, green=green)
                expect_equal(expected, story(program), str(program))
                program.check_green(threads=2)
        for command in at_once:
            program = fetch(command, server, path, IN_TURN, green=True, env={"GREEN_POOL": "2"})
            expect_equal(expected, story(program), f"{program}, with GREEN_POOL=2")
            if program.green:
                assert program.own_counters()["pool_waits"] == 1, program.own_counters()


main()
