#!/usr/bin/python3
"""Fetches COUNT slow pages at once, as a program of any day would: a pool of threads and urllib.

    fanout.py http://127.0.0.1:PORT COUNT

Page i comes after 500 + i % 20 ms and says so, so that a mixed-up answer is noticed. Prints how
many answers were right and the wall time in seconds.
"""

import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor


def fetch(url):
    with urllib.request.urlopen(url, timeout=60) as answer:
        return answer.read().decode()


base, count = sys.argv[1], int(sys.argv[2])
delays = [500 + i % 20 for i in range(count)]

start = time.monotonic()
with ThreadPoolExecutor(count) as pool:
    pages = list(pool.map(fetch, (f"{base}/sleep/{ms}" for ms in delays)))
seconds = time.monotonic() - start

right = sum(page == f"slept {ms}\n" for page, ms in zip(pages, delays))
print(right, f"{seconds:.3f}")
