"""Servers that accept, serve, close and accept again: natively, and in the accept modes.

The servers lie in tests/accept, ordinary C and C++ without a word of the library; each answer takes
them 200 ms of waiting. server.h there tells the conversation.
"""

import concurrent.futures
import os
import selectors
import signal
import socket
import ssl
import subprocess
import time
import urllib.request

from harness import (LIBRARY, PYTHON, Program, folder, free_port, main, needs, test,
                     wait_for_port, wait_until, write)

SERVERS = os.path.join(os.path.dirname(LIBRARY), "tests/accept")
CLIENTS = 300
NATIVE_SECONDS = CLIENTS * 0.2


class Server(Program):
    """One of the folder's servers, and the ports it tells."""

    def __init__(self, name, mode=None, env=None, **options):
        variables = {"GREEN_ACCEPT": mode} if mode else {}
        super().__init__(os.path.join(SERVERS, name), green=mode is not None,
                         env=variables | (env or {}), **options)
        wait_until(lambda: self.output.endswith(b"\n"), f"{self} tells its port")
        self.ports = [int(line.split()[1]) for line in self.output.splitlines()]
        self.port = self.ports[0]

    def connect(self, port=None):
        return socket.create_connection(("127.0.0.1", port or self.port), timeout=30)

    def ask(self, line=b"hello", port=None):
        """One connection, its answer checked; the number that the server gave it."""
        with self.connect(port) as client:
            client.sendall(line + b"\n")
            return check(client, line, read_all(client))

    def quit(self):
        with self.connect() as client:
            client.sendall(b"quit\n")
            read_all(client)
        self.wait()
        return self.output.splitlines()[len(self.ports):]


def read_all(client):
    data = b""
    while block := client.recv(4096):
        data += block
    return data


def check(client, line, answer):
    words = answer.split(b" ", 2)
    assert len(words) == 3 and words[2] == line + b"\n", f"{line} was answered by {answer}"
    assert int(words[1]) == client.getsockname()[1], f"{line}: the wrong peer: {answer}"
    return int(words[0])


def ask_at_once(server, count=CLIENTS, line=None):
    """So many clients at the same time, spread over the server's ports; the seconds it took."""
    selector = selectors.DefaultSelector()
    started = time.monotonic()
    for i in range(count):
        client = server.connect(server.ports[i % len(server.ports)])
        text = line or b"this is client %d" % i
        client.sendall(text + b"\n")
        selector.register(client, selectors.EVENT_READ, [text, b""])
    while selector.get_map():
        ready = selector.select(30)
        assert ready, f"{len(selector.get_map())} clients were not answered"
        for key, _ in ready:
            block = key.fileobj.recv(4096)
            key.data[1] += block
            if block:
                continue
            check(key.fileobj, *key.data)
            selector.unregister(key.fileobj)
            key.fileobj.close()
    return time.monotonic() - started


def cloned(name):
    """Many clients, in a fraction of the native time; afterwards one at a time again."""
    with Server(name, "clone") as server:
        seconds = ask_at_once(server)
        assert seconds < 2, f"{CLIENTS} clients took {seconds:.2f} s"
        first = server.ask()
        assert server.ask() == first + 1, "connections after one another are not one flow's"
        print(f"{name}: {CLIENTS} clients in {seconds:.2f} s; natively {NATIVE_SECONDS:.0f} s")
        server.quit()
        server.check_green(threads=CLIENTS // 2)


@test()
def accept_plain():
    cloned("plain")


@test()
def accept_poll():
    cloned("poll")


@test()
def accept_select():
    cloned("select")


@test()
def accept_epoll():
    cloned("epoll")


@test()
def accept_streams():
    cloned("streams")


@test()
def accept_objects():
    cloned("objects")


@test(timeout=180)
def accept_several():
    """Several listeners: nobody is given another's answer, and some flow always watches all of them."""
    for mode, count, way in (("clone", 3, "poll"), ("clone", 3, "epoll"), ("clone", 40, "select"),
                             ("fork", 3, "poll"), ("fork", 40, "poll"), ("fork", 40, "select"),
                             ("auto", 3, "select"), ("auto", 40, "poll"), ("auto", 40, "epoll")):
        run = subprocess.run([os.path.join(SERVERS, "several"), str(count), way],
                             env={**os.environ, "LD_PRELOAD": LIBRARY, "GREEN_ACCEPT": mode},
                             capture_output=True, timeout=60, check=False)
        expected = (b"0 clients were not served\n", 0)
        assert (run.stdout, run.returncode) == expected, (mode, count, way, run)


@test()
def accept_one_after_another():
    """Connections that do not overlap: everything is as natively, the loop's locals included."""
    for name in ("plain", "poll", "select", "epoll", "streams", "objects"):
        results = []
        for mode in (None, "off", "clone"):
            with Server(name, mode) as server:
                numbers = [server.ask(b"client %d" % i) for i in range(3)]
                results.append((numbers, server.quit(), server.status))
                if mode == "clone":
                    assert server.own_counters()["threads_made"] == 0, "a flow was made for nothing"
                if mode == "off":
                    server.check_dormant()
        assert results[0] == results[1] == results[2], f"{name}: {results}"
        assert results[0][0] == [1, 2, 3], results


@test()
def accept_limit():
    """Beyond the limit connections wait, and are served when others are done."""
    with Server("plain", "clone", env={"GREEN_MAX_FLOWS": "10"}) as server:
        seconds = ask_at_once(server, 40)
        assert 0.8 <= seconds < 4, f"40 clients, ten at once, took {seconds:.2f} s"
        server.quit()
        assert server.own_counters()["threads_peak"] == 10, server.own_counters()


def try_at_once(server, *names):
    """A client for each name at the same time; all must be told "ok"."""
    clients = []
    for name in names:
        clients.append(server.connect())
        clients[-1].sendall(name + b"\n")
    for name, client in zip(names, clients):
        with client:
            answer = read_all(client)
            assert answer == b"ok", f"{name} among {set(names)}: {answer}"


@test()
def accept_corners():
    """What goes with a flow, what it shares with others, and how it can end."""
    with Server("corners", "clone") as server:
        for name in (b"errno", b"mutex", b"flock", b"deep", b"jump", b"fork"):
            try_at_once(server, *[name] * 5)
        try_at_once(server, b"receive", b"errno", b"deep", b"send", b"jump", b"mutex")
        try_at_once(server, b"leave", b"errno", b"cancel", b"deep", b"leave")
        with server.connect() as waiting, server.connect() as other:
            waiting.sendall(b"signal\n")
            time.sleep(0.2)
            other.sendall(b"errno\n")
            os.kill(server.pid, signal.SIGUSR1)
            assert read_all(waiting) == b"ok"
            assert read_all(other) == b"ok"
        with server.connect() as client:
            client.sendall(b"served\n")
            served = int(read_all(client))
        assert served == 6 * 5 + 6 + 2 + 2, f"a thread-local variable counted {served} connections"
        server.quit()
        server.check_green(counters=False, helpers=16)
    # The thread leaves when nobody else is served: the program ends, as natively.
    for mode in (None, "clone"):
        with Server("corners", mode) as server:
            try_at_once(server, b"leave")
            assert server.wait() == 0


def copies(server):
    """The processes that serve for it, and its spare."""
    found = []
    for entry in os.listdir("/proc"):
        try:
            with open(f"/proc/{entry}/stat", encoding="ascii", errors="replace") as file:
                fields = file.read().rpartition(")")[2].split()
            if int(fields[1]) == server.pid:
                found.append(int(entry))
        except (OSError, ValueError, IndexError):
            pass
    return found


def forked(name, count=100):
    with Server(name, "fork") as server:
        assert [server.ask(b"one") for _ in range(3)] == [1, 2, 3]
        seconds = ask_at_once(server, count)
        assert seconds < count * 0.2 / 4, f"{count} clients took {seconds:.2f} s"
        first = server.ask()
        assert server.ask() == first + 1
        wait_until(lambda: len(copies(server)) <= 1, "the copies end and are buried")
        print(f"{name}: {count} clients in {seconds:.2f} s")
        assert server.quit() == [b"quit after %d" % (first + 2)]
        assert copies(server) == []


@test()
def accept_fork():
    for name in ("plain", "poll", "select", "epoll", "streams", "objects"):
        forked(name)


@test()
def accept_fork_unseen():
    """The program's own waits and its SIGCHLD handler know nothing of the copies."""
    with Server("children", "fork") as server:
        for _ in range(3):
            assert server.ask(b"ok") < 4
        ask_at_once(server, 20, line=b"ok")
        server.ask(b"ok")
        server.quit()


@test()
def accept_fork_limit():
    """Beyond the limit connections wait; the copies' end lets the next ones in."""
    with Server("plain", "fork", env={"GREEN_MAX_FLOWS": "10"}) as server:
        started = time.monotonic()
        clients = [server.connect() for _ in range(40)]
        for client in clients:
            client.sendall(b"here\n")
        time.sleep(0.1)
        most = len(copies(server))
        for client in clients:
            check(client, b"here", read_all(client))
        seconds = time.monotonic() - started
        assert most <= 11, f"{most} processes for ten connections at once"
        assert 0.8 <= seconds < 6, f"40 clients, ten at once, took {seconds:.2f} s"
        server.quit()


@test()
def accept_fork_end():
    """The program is killed: its copies go with it, and the port is free for the next one."""
    with Server("plain", "fork") as server:
        clients = [server.connect() for _ in range(5)]
        wait_until(lambda: len(copies(server)) == 5, "a process for each connection and a spare")
        others = copies(server)
        server.stop(signal.SIGKILL)
        wait_until(lambda: not any(alive(pid) for pid in others), "the copies' end")
        for client in clients:
            assert client.recv(100) == b""
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", server.port))
            probe.listen()


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


WSGI = """
import time
from wsgiref.simple_server import make_server, WSGIRequestHandler

count = 0

class Quiet(WSGIRequestHandler):
    def log_message(self, *_):
        pass

def application(environment, start):
    global count
    count += 1
    time.sleep(0.2)
    start("200 OK", [("Content-Type", "text/plain")])
    return [b"%d %s" % (count, environment["PATH_INFO"].encode())]

server = make_server("127.0.0.1", 0, application, handler_class=Quiet)
server.socket.listen(1024)
print("port", server.server_port, flush=True)
server.serve_forever()
"""


@test()
def accept_fork_wsgiref():
    """An interpreter's one-at-a-time server: its loop carries all of its heap."""
    with Program(PYTHON, write("server.py", WSGI), green=True,
                 env={"GREEN_ACCEPT": "fork"}) as server:
        wait_until(lambda: server.output.endswith(b"\n"), "the port")
        port = int(server.output.split()[1])

        def ask(i):
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/{i}", timeout=30) as answer:
                number, path = answer.read().split()
                assert path == b"/%d" % i
                return int(number)
        assert [ask(i) for i in range(3)] == [1, 2, 3]
        started = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(50) as pool:
            list(pool.map(ask, range(50)))
        seconds = time.monotonic() - started
        assert seconds < 5, f"50 clients took {seconds:.2f} s, natively 10 s"
        assert server.peak == 1


def in_each_mode(shape, modes):
    """A server that serves several connections at once by itself, in each mode; what it was told."""
    program = write("shapes.py", SHAPES)
    said = {}
    for mode in modes:
        with Program(PYTHON, program, shape, green=True, env={"GREEN_ACCEPT": mode}) as server:
            wait_until(lambda: server.output.endswith(b"\n"), "the port")
            port = int(server.output.split()[1])

            def connect():
                return socket.create_connection(("127.0.0.1", port), timeout=30)

            def ask(client, line):
                client.sendall(line)
                assert client.recv(100) == line, f"{shape}, {mode}: {line} was answered otherwise"
                client.close()
            for i in range(4):
                ask(connect(), b"%d\n" % i)
            clients = [connect() for _ in range(12)]
            time.sleep(0.2)
            for i, client in enumerate(clients):
                ask(client, b"%d\n" % i)
            assert server.stop(signal.SIGTERM) == -signal.SIGTERM
            said[mode] = server.errors.decode()
    print(shape, said)
    return said


SHAPES = """
import os, select, socket, sys, threading, time
listener = socket.create_server(("127.0.0.1", 0), backlog=100)
print("port", listener.getsockname()[1], flush=True)
shape = sys.argv[1]

def serve(connection):
    while line := connection.recv(100):
        connection.sendall(line)
    connection.close()

def poll(fds):
    poller = select.poll()
    for fd in fds:
        poller.register(fd, select.POLLIN)
    return [fd for fd, _ in poller.poll()]

if shape == "epoll":
    epoll = select.epoll()
    epoll.register(listener, select.EPOLLIN)
wait = {"poll": poll, "select": lambda fds: select.select(fds, [], [])[0],
        "epoll": lambda _: [fd for fd, _ in epoll.poll()]}.get(shape)
if shape == "helper":
    threading.Thread(target=threading.Event().wait, daemon=True).start()
open_ones = {}
while True:
    if wait:  # it stops to listen when it has enough
        full = len(open_ones) >= 4 and shape != "epoll"
        for fd in wait([*open_ones] + ([] if full else [listener.fileno()])):
            if fd == listener.fileno():
                connection = listener.accept()[0]
                open_ones[connection.fileno()] = connection
                if shape == "epoll":
                    epoll.register(connection, select.EPOLLIN)
            elif line := open_ones[fd].recv(100):
                open_ones[fd].sendall(line)
            else:
                open_ones.pop(fd).close()
        continue
    connection = listener.accept()[0]
    if shape == "helper":
        serve(connection)
    elif shape == "join":
        thread = threading.Thread(target=lambda: (time.sleep(0.2), serve(connection)))
        thread.start()
        thread.join()
    elif shape == "threads":
        threading.Thread(target=serve, args=[connection], daemon=True).start()
    elif os.fork() == 0:
        listener.close()
        serve(connection)
        os._exit(0)
    else:
        connection.close()
"""


@test()
def accept_not_needed():
    """Event loops and threads are seen, and end the mode; a process for each connection needs none."""
    for shape, reason in (("poll", "it waits for its listener and its connections together"),
                          ("select", "it waits for its listener and its connections together"),
                          ("epoll", "it waits for its listener and its connections together"),
                          ("threads", "it makes threads while it serves")):
        said = in_each_mode(shape, ("clone", "fork", "auto", "check"))
        for mode in ("clone", "fork", "auto"):
            assert f"--accept={mode} is off from now on" in said[mode], (shape, mode, said[mode])
        assert "no mode is advised" in said["check"], said["check"]
        assert all(text.endswith(reason + "\n") for text in said.values()), said
    said = in_each_mode("processes", ("fork", "auto", "check"))
    assert said["fork"] == "", said
    assert said["auto"].endswith("itself: it makes a process for each connection\n"), said
    assert said["check"].endswith("itself: it makes a process for each connection\n"), said
    said = in_each_mode("helper", ("fork", "auto", "check"))
    assert said["fork"] == "", said
    for mode in ("auto", "check"):
        assert "the program has threads beside the one that accepts; --accept=fork" in said[mode]


@test()
def accept_thread_that_is_waited_for():
    """A server whose connections make threads, which they wait for, is one at a time, too."""
    with Program(PYTHON, write("shapes.py", SHAPES), "join", green=True,
                 env={"GREEN_ACCEPT": "fork"}) as server:
        wait_until(lambda: server.output.endswith(b"\n"), "the port")
        port = int(server.output.split()[1])
        started = time.monotonic()
        clients = [socket.create_connection(("127.0.0.1", port), timeout=30) for _ in range(30)]
        for client in clients:
            client.sendall(b"hello\n")
        for client in clients:
            assert client.recv(100) == b"hello\n"
            client.close()
        seconds = time.monotonic() - started
        assert seconds < 3, f"30 clients, 200 ms each, took {seconds:.2f} s"
        assert server.errors == b"", server.errors


@test()
def accept_child_that_is_waited_for():
    """A server that makes a child for each connection and waits for it serves one at a time."""
    with Server("children", "auto") as server:
        assert [server.ask(b"ok") for _ in range(4)] == [1, 2, 3, 4]
        assert b"auto chose" in server.errors, server.errors
        server.quit()


ENDS_BY_DEFAULT = """
import os, signal, socket
listener = socket.create_server(("127.0.0.1", 0))
def end(number, _):
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
signal.signal(signal.SIGTERM, end)
print("port", listener.getsockname()[1], flush=True)
while True:
    connection = listener.accept()[0]
    connection.sendall(connection.recv(100))
    connection.close()
"""


@test()
def accept_check_of_interpreters():
    """One that has a handler at first, and then ends by the default action, tells its report, too."""
    with Program(PYTHON, write("server.py", ENDS_BY_DEFAULT), green=True,
                 env={"GREEN_ACCEPT": "check"}) as server:
        wait_until(lambda: server.output.endswith(b"\n"), "the port")
        for _ in range(3):
            with socket.create_connection(("127.0.0.1", int(server.output.split()[1]))) as client:
                client.sendall(b"x")
                assert client.recv(10) == b"x"
        assert server.stop(signal.SIGTERM) == -signal.SIGTERM
        assert b"libgreen: 3 connections" in server.errors, server.errors


@test()
def accept_check_without_connections():
    """Whoever asks gets an answer, also when nobody has connected."""
    with Server("plain", "check") as server:
        assert server.stop(signal.SIGTERM) == -signal.SIGTERM
        said = b"libgreen: process %d has listened, and accepted no connection\n" % server.pid
        assert server.errors == said, server.errors


@test()
def accept_crash_is_explained():
    """Only where connections have shared the program's memory."""
    for others, told in ((0, False), (2, True)):
        with Server("corners", "clone") as server:
            clients = [server.connect() for _ in range(others + 1)]
            for client in clients[1:]:
                client.sendall(b"errno\n")
            time.sleep(0.1)
            clients[0].sendall(b"crash\n")
            assert server.wait() == -signal.SIGSEGV
            said = b"under --accept=clone all connections share the program's memory"
            assert (said in server.errors) == told, server.errors


def checked(name):
    """What the check mode says after five clients at once, and after five one by one."""
    said = []
    for end in ("quit", "signal"):
        with Server(name, "check") as server:
            server.check_dormant()
            if end == "quit":
                ask_at_once(server, 5)
                server.quit()
            else:
                for _ in range(4):
                    server.ask()
                os.kill(server.pid, signal.SIGUSR2)
                wait_until(lambda: server.errors.count(b"\n") == 2, "the report")
                assert server.ask() > 0
                assert server.stop(signal.SIGTERM) == -signal.SIGTERM
                assert server.errors.count(b"\n") == 4
        said.append(server.errors.decode().splitlines()[-2:])
    (waits, verdict), (no_waits, same) = said
    assert "libgreen: 6 connections, of which" in waits, waits
    assert "libgreen: 5 connections, of which" in no_waits, no_waits
    waited, alone = (int(line.split(" ms in all")[0].split()[-1]) for line in (waits, no_waits))
    assert waited > 1500, f"five clients at once, 200 ms each: {waits}"
    assert alone < waited / 2, no_waits  # a busy machine makes them wait, too
    assert verdict == same, (verdict, same)
    print(verdict)
    return verdict


@test()
def accept_check():
    """Safe programs are told from unsafe ones, and the reason names what is shared."""
    for name in ("plain", "poll", "streams", "objects", "counter"):
        verdict = checked(name)
        assert "clone looks safe" in verdict, f"{name}: {verdict}"
    verdict = checked("heap")
    assert "not safe, use fork" in verdict and "pointer to 8200 bytes of heap memory" in verdict
    verdict = checked("global")
    assert "not safe, use fork" in verdict and "the_request (2048 bytes)" in verdict


@test()
def accept_auto():
    """Three connections natively, then clone or fork, whichever fits."""
    for name, choice in (("plain", b"clone"), ("counter", b"clone"), ("heap", b"fork"),
                         ("global", b"fork")):
        with Server(name, "auto") as server:
            assert [server.ask() for _ in range(4)] == [1, 2, 3, 4]
            assert b"auto chose " + choice in server.errors, server.errors
            seconds = ask_at_once(server, 50)
            assert seconds < 3, f"{name}: 50 clients took {seconds:.2f} s"
            server.ask()
            server.quit()


@test(timeout=120)
def accept_auto_openssl():
    """200 slow TLS clients of `openssl s_server -www`, in a tenth of the native time."""
    needs("openssl")
    key, certificate = os.path.join(folder(), "key"), os.path.join(folder(), "certificate")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=me",
                    "-keyout", key, "-out", certificate], check=True, capture_output=True)
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    slowness = 0.5  # most of the time is waiting, also on a busy machine

    def ask(_):
        with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
            with trusting.wrap_socket(client) as secured:
                time.sleep(slowness)
                secured.sendall(b"GET / HTTP/1.0\r\n\r\n")
                page = b""
                while block := secured.recv(65536):
                    page += block
        assert page.startswith(b"HTTP/1.0 200 ok"), page[:200]
        assert b"Ciphers supported" in page and b"</html>" in page.lower(), page[-200:]

    port = free_port()
    with Program("openssl", "s_server", "-www", "-quiet", "-accept", str(port), "-key", key, "-cert",
                 certificate, green=True, env={"GREEN_ACCEPT": "auto"}) as server:
        wait_for_port(port)
        started = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(200) as pool:
            list(pool.map(ask, range(200)))
        seconds = time.monotonic() - started
        print(f"200 clients in {seconds:.2f} s; natively {200 * slowness:.0f} s")
        assert seconds < 20 * slowness, f"200 clients took {seconds:.2f} s"
        assert b"auto chose fork" in server.errors, server.errors
        ask(0)
        server.stop(signal.SIGTERM)


main()
