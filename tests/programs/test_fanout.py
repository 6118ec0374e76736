"""One Python program, a pool of threads, as many slow pages: the case gevent was made for.

The server is a process of its own, so that its work is not counted as the program's. The time limit
for 200 pages is a promise of the library; for 2,000 there is none, for there the CPU decides.
"""

import hashlib
import os

import slow_server
from harness import HERE, PYTHON, Program, main, run, test, wait_until


def fetch_pages(count, green):
    with Program(PYTHON, os.path.join(HERE, "slow_server.py"), "0.5") as server:
        url = wait_until(lambda: server.output.decode().strip(), "the server's address")
        return run(PYTHON, os.path.join(HERE, "fanout.py"), url, count, green=green)


def fan_out(count, limit=None):
    digest = hashlib.sha256()
    for number in range(count):
        digest.update(slow_server.page(number))
    for green in (False, True):
        client = fetch_pages(count, green)
        print(f"{client.kind}: {count} pages in {client.seconds:.2f} s, "
              f"{client.peak} kernel threads")
        assert client.status == 0, f"{client} ended with {client.status}: {client.errors[-2000:]}"
        assert client.output.decode() == f"{count} pages {digest.hexdigest()}\n", client.output
        assert client.errors == b"", client.errors
        client.check_green(threads=count // 4)  # the pool uses threads again that have finished
        if client.green and limit:
            assert client.seconds < limit, f"{client.seconds:.2f} s, not under {limit} s"


@test(serial=True)
def fanout_200():
    fan_out(200, limit=2.0)


@test(serial=True, timeout=120)
def fanout_2000():
    fan_out(2000)


main()
