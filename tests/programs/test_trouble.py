"""Trouble is told: deadlocks, stack overflows, threads that cannot be interrupted.

A report must name what a user looks for, come once, be silenced by GREEN_WARN=0, and not come
where there is no trouble.
"""

import os
import re
import signal
import subprocess
import time

from harness import HERE, LIBRARY, folder, main, needs, test


def build():
    needs("cc")
    program = os.path.join(folder(), "trouble")
    subprocess.run(["cc", "-O1", "-g", "-rdynamic", "-pthread", "-o", program,
                    os.path.join(HERE, "trouble.c")], check=True)
    return program


def told(what, until=b"", seconds=20, warn="1"):
    """What the program writes on stderr until a text appears, or it ends, or the time is over."""
    environment = {**os.environ, "LD_PRELOAD": LIBRARY, "GREEN_WARN": warn}
    with subprocess.Popen([build(), what], env=environment, stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE) as process:
        os.set_blocking(process.stderr.fileno(), False)
        text = b""
        limit = time.monotonic() + seconds
        while time.monotonic() < limit and process.poll() is None:
            text += process.stderr.read() or b""
            if until and re.search(until, text):
                break
            time.sleep(0.05)
        running = process.poll() is None
        process.kill()
        process.wait()
        text += process.stderr.read() or b""
    return text.decode(), process.returncode, running


@test()
def trouble_deadlock():
    text, _, running = told("deadlock", until=b"main .*\n")
    assert running, "the program ended"
    print(text)
    for expected in ("deadlock: 2 threads", '"other"', "pthread_mutex_lock: held by thread",
                     "take_first", "other_order", "main", "GREEN_WARN=0"):
        assert expected in text, f"no {expected!r} in {text}"
    assert text.count("deadlock:") == 1, text


@test()
def trouble_silenced():
    text, _, running = told("deadlock", seconds=3, warn="0")
    assert running and text == "", text


@test()
def trouble_overflow():
    text, status, _ = told("overflow")
    assert status == -signal.SIGSEGV, status
    assert "has overflowed its stack of" in text and "GREEN_STACK=" in text, text
    text, status, _ = told("overflow", warn="0")
    assert status == -signal.SIGSEGV and text == "", (text, status)


@test()
def trouble_hog():
    text, _, _ = told("hog", until=b"compute_in_libc")
    print(text)
    assert "could not be interrupted" in text and "compute_in_libc" in text, text


@test()
def trouble_is_not_idleness():
    environment = {**os.environ, "LD_PRELOAD": LIBRARY}
    with subprocess.Popen([build(), "daemon"], env=environment, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"ready\n"
        time.sleep(2.5)
        process.terminate()
        out, err = process.communicate(timeout=20)
    assert (out, err, process.returncode) == (b"stopped\n", b"", 0), (out, err)


main()
