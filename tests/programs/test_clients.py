"""Programs that fetch: curl (a thread for each name it resolves), wget, ab, git.

The web server is slow_server.py, which takes its time for each page and all pages at once.
"""

import os
import socket

import slow_server
from harness import (HERE, PYTHON, Program, folder, main, needs, run, same, test, wait_until)


def slow_pages(delay="0.3"):
    return Program(PYTHON, os.path.join(HERE, "slow_server.py"), delay)


def address(server):
    return wait_until(lambda: server.output.decode().strip(), "the server's address")


def other_name():
    """A name of this machine that curl must look up: it knows `localhost` by itself."""
    for name in (socket.gethostname(), "ip4-localhost", "localhost.localdomain"):
        try:
            if "127.0.0.1" in socket.gethostbyname_ex(name)[2]:
                return name
        except OSError:
            pass
    return None


@test()
def curl_parallel():
    """Natively a kernel thread for each lookup; green, none of them is one."""
    needs("curl")
    name = other_name()
    with slow_pages() as server:
        url = address(server).replace("127.0.0.1", name or "localhost")
        for green in (False, True):
            client = run("curl", "-sS", "--fail", "--parallel", "--parallel-immediate",
                         "--parallel-max", "60", "-o", os.path.join(folder(), "page-#1"),
                         url + "/[0-59]", green=green)
            assert client.status == 0, client.errors
            for number in range(60):
                path = os.path.join(folder(), f"page-{number}")
                with open(path, "rb") as file:
                    assert file.read() == slow_server.page(number), f"{client}: page {number}"
                os.unlink(path)
            print(f"{client.kind}: {client.seconds:.2f} s, {client.peak} kernel threads")
            if name:
                client.check_green()


@test()
def curl_failures():
    """Lookups and connections that fail, at the same place in the same words."""
    needs("curl")
    same("curl", "-sS", "http://name.invalid/", status=6)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        same("curl", "-sS", f"http://{other_name() or 'localhost'}:{port}/", status=7,
             compare=("status", "output"))  # its message tells the milliseconds
    with slow_pages("5") as server:
        _, green = same("curl", "-sS", "--max-time", "0.5", address(server) + "/1", status=28,
                        compare=("status", "output"))
        assert green.seconds < 4, green.seconds


@test()
def wget():
    needs("wget")
    with slow_pages() as server:
        url = address(server)
        native, _ = same("wget", "-q", "-O", "-", f"{url}/1", f"{url}/2")
        assert native.output == slow_server.page(1) + slow_server.page(2)


@test()
def apache_bench():
    needs("ab")
    with slow_pages("0.05") as server:
        for green in (False, True):
            client = run("ab", "-q", "-n", "200", "-c", "50", address(server) + "/7", green=green)
            assert client.status == 0, client.errors
            report = client.output.decode()
            assert "Complete requests:      200\n" in report, report
            assert "Failed requests:        0\n" in report, report
            client.check_dormant()


AUTHOR = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@localhost", "GIT_COMMITTER_NAME": "a",
          "GIT_COMMITTER_EMAIL": "a@localhost", "GIT_AUTHOR_DATE": "@1000000000 +0000",
          "GIT_COMMITTER_DATE": "@1000000000 +0000", "GIT_CONFIG_NOSYSTEM": "1"}


@test()
def git():
    """Cloning (index-pack and pack-objects use threads) and grep, which has a pool of them."""
    needs("git")
    origin = os.path.join(folder(), "origin")
    os.mkdir(origin)
    text = "".join(f"line {number} of the text\n" for number in range(300))
    for number in range(400):
        with open(os.path.join(origin, f"file-{number}"), "w", encoding="ascii") as file:
            file.write(text.replace("text", f"text of file {number}"))

    def git_run(*words, green=False, cwd=origin):
        client = run("git", *words, green=green, cwd=cwd, env=AUTHOR)
        assert client.status == 0, f"{client}: {client.errors.decode()}"
        return client

    for words in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-q", "-m", "first"]):
        git_run(*words)
    results = []
    for green in (False, True):
        clone = os.path.join(folder(), f"clone-{'green' if green else 'native'}")
        git_run("-c", "pack.threads=2", "clone", "-q", f"file://{origin}", clone, green=green,
                cwd=folder())
        seen = [git_run(*words, green=green, cwd=clone) for words in (
            ["log", "--format=%H %s"], ["fsck", "--strict"], ["status", "--porcelain"],
            ["-c", "grep.threads=4", "grep", "-c", "line 29.*text"],
            ["-c", "pack.threads=2", "repack", "-q", "-a", "-d", "-f"],
            ["rev-parse", "HEAD^{tree}"])]
        seen[3].check_green(threads=4)
        results.append([(program.status, program.output) for program in seen])
    assert results[0] == results[1], results


main()
