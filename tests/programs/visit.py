"""Fetches web pages at once: visit.py HOW CERTIFICATE URL..., HOW is threads or futures (two at a time)."""

import ssl
import sys
import threading
import urllib.request
from concurrent.futures import ThreadPoolExecutor

how, certificate, *urls = sys.argv[1:]
context = ssl.create_default_context(cafile=certificate)


def visit(url):
    print("Visit", url, flush=True)
    with urllib.request.urlopen(url, context=context) as answer:
        print(len(answer.read()), "bytes from", url, flush=True)


if how == "futures":
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(visit, urls))
else:
    threads = [threading.Thread(target=visit, args=[url]) for url in urls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
