#!/usr/bin/python3
"""Fetches one slow page COUNT times at once, with a pool of COUNT threads and urllib.

    fetch.py URL COUNT [--certificate FILE] [--gevent]

--gevent makes the threads greenlets by gevent's monkey patch: the same program otherwise. Prints
"wall S", "cpu S" and "memory KIB" of the fetches (not of the interpreter's start).
"""

import sys

if "--gevent" in sys.argv:
    from gevent import monkey
    monkey.patch_all()

import concurrent.futures
import resource
import ssl
import time
import urllib.request

url, count = sys.argv[1], int(sys.argv[2])
context = None
if "--certificate" in sys.argv:
    context = ssl.create_default_context(cafile=sys.argv[sys.argv.index("--certificate") + 1])
expected = f"slept {url.rsplit('/', 1)[1]}\n".encode()


def fetch(_):
    with urllib.request.urlopen(url, timeout=60, context=context) as answer:
        return answer.read() == expected


wall, cpu = time.monotonic(), time.process_time()
with concurrent.futures.ThreadPoolExecutor(count) as pool:
    right = sum(pool.map(fetch, range(count)))
wall, cpu = time.monotonic() - wall, time.process_time() - cpu
if right != count:
    sys.exit(f"fetch.py: only {right} of {count} answers are right")
print(f"wall {wall:.4f}\ncpu {cpu:.4f}\nmemory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}")
