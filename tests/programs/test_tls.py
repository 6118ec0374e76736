"""TLS, by OpenSSL, GnuTLS and Python's ssl: clients and servers do natively and green the same.

The partner of a client is tls_server.py run natively, the partners of a server are openssl s_client
and Python's ssl in this process. What is slow or broken on one connection must stop no other one.
"""

import hashlib
import os
import re
import select
import signal
import socket
import ssl
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from harness import (LIBRARY, NATIVE_ONLY, PYTHON, environment, expect_equal, find, folder, main,
                     needs, run, same, test, write)
from tls import TlsServer, certificate
from tls_server import page


def trusting(path):
    """A client's context that trusts the certificate."""
    return ssl.create_default_context(cafile=path + ".crt")


def connect(server, context, **options):
    plain = socket.create_connection(("127.0.0.1", server.port), timeout=40)
    return context.wrap_socket(plain, server_hostname="127.0.0.1", **options)


def get(connection, ms=0, size=20):
    """Asks for a page and reads just that."""
    connection.sendall(f"GET /{ms}/{size} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    answer = b""
    while b"\r\n\r\n" not in answer or len(answer.partition(b"\r\n\r\n")[2]) < size:
        piece = connection.recv(65536)
        assert piece, f"the connection has ended after {answer!r:.200}"
        answer += piece
    assert answer.partition(b"\r\n\r\n")[2] == page(size), "the page differs"


def both(path):
    """The server, natively and green."""
    for green in (False, True):
        with TlsServer(path, green) as server:
            yield server
            server.stop(signal.SIGTERM)
        server.check_green(counters=False)


# ---- clients -----------------------------------------------------------------------------------


def client(*command, body, dormant=True):
    """A client that prints, or writes to the file "page", what it was given."""
    needs(command[0])

    def prepare():
        if os.path.exists(os.path.join(folder(), "page")):
            os.unlink(os.path.join(folder(), "page"))

    def result():
        if os.path.exists(os.path.join(folder(), "page")):
            with open(os.path.join(folder(), "page"), "rb") as file:
                return file.read()
        return None
    native, green = same(*command, prepare=prepare, result=result, compare=("status",))
    got = result()
    assert body in (got or green.output), f"{green}: {green.output[-300:]} {green.errors[-300:]}"
    assert got or body in native.output
    if dormant:
        green.check_dormant()
    return green


@test(timeout=120)
def tls_clients():
    """One page of 100,000 bytes, checked against the certificate, by each client that is here."""
    path = certificate()
    trusted, body = path + ".crt", page(100_000)
    with TlsServer(path) as server:
        url = server.url(50, 100_000)
        client("curl", "-sS", "--cacert", trusted, url, body=body, dormant=False)
        client("wget", "-q", "-O", "-", f"--ca-certificate={trusted}", url, body=body)
        client(PYTHON, "-c", "import ssl, sys, urllib.request as u; c = ssl.create_default_context("
               "cafile=sys.argv[1]); sys.stdout.buffer.write(u.urlopen(sys.argv[2], context=c).read())",
               trusted, url, body=body)
        if find("lftp"):
            client("lftp", "-c", f"set ssl:ca-file {trusted}; set http:use-allprop no; cat {url}",
                   body=body, dormant=False)
        if find("axel"):  # a thread for each piece
            green = client("axel", "-k", "-q", "-n", "4", "-o", "page", server.url(100, 400_000),
                           body=page(400_000), dormant=False)
            green.check_green(threads=2)
        request = b"GET /50/1000 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        port = str(server.port)
        commands = [["openssl", "s_client", "-quiet", "-verify_return_error",
                     "-CAfile", trusted, "-connect", f"127.0.0.1:{port}"]]
        if find("gnutls-cli"):
            commands.append(["gnutls-cli", "--x509cafile", trusted, "-p", port, "127.0.0.1"])
        for command in commands:
            for green in (False, True):
                process = subprocess.Popen(
                    command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                    env=environment_of(green))
                process.stdin.write(request)
                process.stdin.flush()
                out = process.stdout.read()  # until the server closes
                process.stdin.close()
                assert process.wait(20) == 0, (command, green, process.stderr.read())
                process.stderr.close()
                process.stdout.close()
                assert page(1000) in out, (command, green, out)


def environment_of(green):
    return environment() | ({"LD_PRELOAD": LIBRARY} if green and not NATIVE_ONLY else {})


FAN_OUT = r"""
import hashlib, ssl, sys, threading, urllib.request
context = ssl.create_default_context(cafile=sys.argv[1])
found = set()
def fetch(number):
    with urllib.request.urlopen(f"{sys.argv[2]}/{500}/{1000 + number}", context=context) as answer:
        found.add((number, hashlib.sha256(answer.read()).hexdigest()))
threads = [threading.Thread(target=fetch, args=[number]) for number in range(200)]
for thread in threads: thread.start()
for thread in threads: thread.join()
for one in sorted(found): print(*one)
"""


@test(timeout=180, heavy=True)
def tls_200_at_once_python():
    """200 threads of urllib, each with a handshake of its own, in one kernel thread."""
    path = certificate()
    expected = "".join(f"{n} {hashlib.sha256(page(1000 + n)).hexdigest()}\n" for n in range(200))
    with TlsServer(path) as server:
        for green in (False, True):
            done = run(PYTHON, "-c", FAN_OUT, path + ".crt", f"https://127.0.0.1:{server.port}",
                       green=green, seconds=80)
            assert done.status == 0, done.errors[-1000:]
            expect_equal(expected, done.output.decode(), str(done))
            assert done.seconds < 50, f"{done}: {done.seconds} s, one after the other it takes 100"
            done.check_green(threads=200)


@test(timeout=180, heavy=True)
def tls_200_at_once_curl():
    """curl's own way to fetch many: one thread, in which nothing of ours may be in the way."""
    needs("curl")
    path = certificate()
    with TlsServer(path) as server:
        config = write_lines(f'url = "{server.url(300, 1000 + n)}"\noutput = "page{n}"'
                             for n in range(200))
        for green in (False, True):
            done = run("curl", "-sS", "--parallel", "--parallel-max", "200", "--cacert",
                       path + ".crt", "-K", config, green=green, seconds=80)
            assert done.status == 0, done.errors[-1000:]
            for n in range(200):
                name = os.path.join(folder(), f"page{n}")
                with open(name, "rb") as file:
                    assert file.read() == page(1000 + n), f"{done}: page {n}"
                os.unlink(name)
            done.check_dormant()


def write_lines(lines):
    return write("lines", "\n".join(lines) + "\n")


# ---- the server --------------------------------------------------------------------------------


@test(timeout=180, heavy=True)
def tls_200_at_once_served():
    path = certificate()
    for server in both(path):
        context = trusting(path)
        start = time.monotonic()
        with ThreadPoolExecutor(200) as pool:
            def fetch(number):
                with connect(server, context) as connection:
                    get(connection, 500, 1000 + number)
                    get(connection, 0, 10)
            list(pool.map(fetch, range(200)))
        seconds = time.monotonic() - start
        assert seconds < 50, f"{server}: {seconds} s, one after the other it takes 100"
        print(f"{server}: {seconds:.1f} s")


@test(timeout=180, heavy=True)
def tls_handshakes_leave_room():
    """1,000 handshakes at once; one connection that is there already goes on meanwhile."""
    path = certificate()
    for server in both(path):
        context = trusting(path)
        over, waits = threading.Event(), []

        def talk():
            with connect(server, context) as connection:
                while not over.is_set():
                    start = time.monotonic()
                    get(connection)
                    waits.append(time.monotonic() - start)
        talker = threading.Thread(target=talk)
        talker.start()
        plain = [socket.create_connection(("127.0.0.1", server.port), timeout=60)
                 for _ in range(1000)]

        def shake(connection):
            with context.wrap_socket(connection, server_hostname="127.0.0.1") as secured:
                get(secured)
        with ThreadPoolExecutor(50) as pool:
            list(pool.map(shake, plain))
        over.set()
        talker.join()
        print(f"{server}: {len(waits)} answers meanwhile, the slowest after {max(waits):.2f} s")
        assert len(waits) > 10, waits


@test(timeout=120)
def tls_trouble_of_one_is_nobody_elses():
    """A handshake that stalls, bytes that are none, a certificate that is refused, a reset."""
    path, other = certificate(), certificate("other")
    for server in both(path):
        context, wrong = trusting(path), trusting(other)
        stalled = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(5)]
        half = stalled[0]
        half.sendall(b"\x16\x03\x01\x02\x00\x01")  # the beginning of a ClientHello
        stalled[1].sendall(b"GET / HTTP/1.0\r\n\r\n")
        with connect(server, context) as connection:
            get(connection)
            for _ in range(3):
                try:
                    connect(server, wrong)
                    raise AssertionError("the wrong certificate was accepted")
                except ssl.SSLCertVerificationError:
                    pass
            reset = connect(server, context)
            reset.sendall(b"GET /200/10 HTTP/1.1\r\n")
            reset.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            reset.close()
            get(connection, 300, 50_000)
        for one in stalled:
            one.close()
        with connect(server, context) as connection:
            get(connection)
        assert server.errors == b"", server.errors
    for program in (["curl", "-sS", "--cacert"], ["wget", "-q", "-O", "-", "--ca-certificate"]):
        needs(program[0])
        with TlsServer(path) as server:
            status = {"curl": 60, "wget": 5}[program[0]]
            same(*program, other + ".crt", server.url(0), status=status, compare=("status", "output"))


def s_client(server, *options, text=""):
    done = subprocess.run(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{server.port}", *options],
        input=text.encode(), capture_output=True, timeout=40, check=False, cwd=folder())
    return done.stdout.decode(errors="replace") + done.stderr.decode(errors="replace")


@test(timeout=120)
def tls_resumption():
    """A session is resumed: by its ticket in TLS 1.2, by a key of the last one in TLS 1.3."""
    path = certificate()
    for server in both(path):
        told = s_client(server, "-tls1_2", "-reconnect")
        counts = len(re.findall("^New, TLSv1.2", told, re.M)), len(
            re.findall("^Reused, TLSv1.2", told, re.M))
        expect_equal((1, 5), counts, f"sessions of {server}")
        request = "GET / HTTP/1.1\r\nConnection: close\r\n\r\n"
        first = s_client(server, "-tls1_3", "-sess_out", "session", "-ign_eof", text=request)
        second = s_client(server, "-tls1_3", "-sess_in", "session", "-ign_eof", text=request)
        assert "New, TLSv1.3" in first and "Reused, TLSv1.3" in second, second
        context = trusting(path)
        session = None
        for turn in range(3):
            with connect(server, context, session=session) as connection:
                get(connection)
                session = connection.session
                assert connection.session_reused == (turn > 0), f"{server}: turn {turn}"


@test(timeout=120)
def tls_key_update():
    """Keys change in mid-stream, on the client's wish and on both sides."""
    path = certificate()
    for server in both(path):
        with subprocess.Popen(
                ["openssl", "s_client", "-tls1_3", "-connect", f"127.0.0.1:{server.port}"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as talk:
            out = b""

            def say(text, answer, times):
                """A command must come in a read of its own, so the answer is waited for."""
                nonlocal out
                talk.stdin.write(text)
                talk.stdin.flush()
                while out.count(answer) < times:
                    assert select.select([talk.stdout], [], [], 30)[0], f"{server}: {out[-2000:]}"
                    piece = os.read(talk.stdout.fileno(), 65536)
                    assert piece, f"{server}: {out[-2000:]}"
                    out += piece

            for turn, command in enumerate((b"K\n", b"k\n", b"K\n"), 1):
                say(command, b"KEYUPDATE", turn)
                say(b"GET /0/3000 HTTP/1.1\r\n\r\n", page(3000), turn)
            talk.stdin.write(b"GET /0/10 HTTP/1.1\r\nConnection: close\r\n\r\n")
            out += talk.communicate(timeout=30)[0]
        assert out.count(b"KEYUPDATE") == 3, out[-2000:]
        assert out.count(page(3000)) == 3 and page(10) in out, f"{server}: {out[-2000:]}"


@test(timeout=120)
def tls_half_closed():
    """The client has said its last word, and still gets its answer."""
    path = certificate()
    for server in both(path):
        for shut_tcp in (False, True):
            plain = socket.create_connection(("127.0.0.1", server.port), timeout=40)
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            tls = trusting(path).wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")

            def flush():
                if outgoing.pending:
                    plain.sendall(outgoing.read())

            def drive(step):
                while True:
                    try:
                        value = step()
                        flush()
                        return value
                    except ssl.SSLWantReadError:
                        flush()
                        piece = plain.recv(65536)
                        incoming.write(piece) if piece else incoming.write_eof()

            drive(tls.do_handshake)
            drive(lambda: tls.write(b"COUNT\n" + b"x" * 5000))
            try:
                tls.unwrap()  # close_notify: no more from here
            except ssl.SSLWantReadError:
                pass
            flush()
            if shut_tcp:
                plain.shutdown(socket.SHUT_WR)
            expect_equal(b"5000\n", drive(lambda: tls.read(100)), f"the answer of {server}")
            plain.close()


main()
