"""Fetches many pages at once: a pool of threads, each in urllib's plain blocking calls.

    fanout.py URL COUNT [WORKERS]

Fetches URL/0, URL/1, ... with WORKERS threads (as many as pages by default), then prints how many
came and one digest over all of them in order.
"""

import hashlib
import sys
import urllib.request
from concurrent.futures import ThreadPoolExecutor


def fetch(url):
    with urllib.request.urlopen(url, timeout=30) as answer:
        return answer.read()


def main():
    base, count = sys.argv[1], int(sys.argv[2])
    workers = int(sys.argv[3]) if len(sys.argv) > 3 else count
    digest = hashlib.sha256()
    with ThreadPoolExecutor(workers) as pool:
        pages = list(pool.map(fetch, [f"{base}/{number}" for number in range(count)]))
    for page in pages:
        digest.update(page)
    print(len(pages), "pages", digest.hexdigest())


if __name__ == "__main__":
    main()
