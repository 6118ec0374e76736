"""green --pool N: at most N threads of one creator run at a time, and nobody is kept for ever."""

import os
import subprocess

from harness import HERE, PYTHON, Program, folder, main, needs, run, test, wait_until


def program():
    needs("cc")
    binary = os.path.join(folder(), "pool")
    if not os.path.exists(binary):
        subprocess.run(["cc", "-O1", "-g", "-rdynamic", "-pthread", "-o", binary,
                        os.path.join(HERE, "pool.c")], check=True)
    return binary


@test()
def pool_limits():
    """In the order in which they were made; with the creator's lock held; detached, or in a child."""
    for size in (1, 3):
        done = run(program(), "several", green=True, env={"GREEN_POOL": str(size)})
        assert done.status == 0, done.errors
        if done.green:
            assert done.output.decode() == (
                f"joined: {size} at once, order 1\ndetached: {size} at once, order 1\n"
                f"in a child: {size} at once\nwith threads of their own: done\n"), done.output
            assert done.own_counters()["pool_waits"] == 2 * (10 - size) + 4 - size
            done.check_green(threads=28)
    done = run(program(), "several", green=True, env={"GREEN_POOL": "100"})
    assert done.output.startswith(b"joined: 10 at once"), done.output


@test()
def pool_waiters_hear_signals():
    done = run(program(), "interrupted", green=True, env={"GREEN_POOL": "2"})
    assert done.status == 0 and done.output == (
        b"waiting, and cancelled: 1, handler 1\nthe next one: 7\n"), (done.output, done.errors)


@test()
def pool_deadlock():
    """A pool of the program's own, whose threads never end, and a smaller one of ours."""
    executor = ("from concurrent.futures import ThreadPoolExecutor as Pool; import time\n"
                "with Pool(3) as pool: list(pool.map(time.sleep, [0.1] * 3))")
    for command in ([program(), "stuck"], [PYTHON, "-c", executor]):
        with Program(*command, green=True, env={"GREEN_POOL": "2"}) as stuck:
            if not stuck.green:
                return
            wait_until(lambda: b"larger\n" in stuck.errors, f"a report of {stuck}", 20)
            report = stuck.errors.decode()
            assert "deadlock: 4 threads" in report, report
            assert "waits to begin: 2 that the same thread has made run" in report, report
            assert "GREEN_POOL allows 2 at a time" in report, report
    relaxed = run(PYTHON, "-c", executor, green=True, env={"GREEN_POOL": "3"})
    assert relaxed.status == 0 and relaxed.errors == b"", relaxed.errors


main()
