"""Servers that are built around an event loop: nginx, redis, memcached, openssl.

nginx and openssl have one thread and must not notice anything. redis has three threads besides its
loop, which close and free in the background; memcached has a loop in each of its threads, so one
kernel thread runs several epoll_wait at once.
"""

import os
import pwd
import signal
import socket
import urllib.request
from concurrent.futures import ThreadPoolExecutor

from harness import (Program, expect_equal, folder, free_port, main, needs, run, test,
                     wait_for_port, wait_until, write)
from slow_clients import content


def fetch(url):
    with urllib.request.urlopen(url, timeout=20) as answer:
        return answer.status, answer.read()


def nginx(settings, check):
    needs("nginx")
    os.makedirs(os.path.join(folder(), "www"), exist_ok=True)
    for number in range(4):
        write(f"www/{number}", content(number, 300_000))
    user = f"user {pwd.getpwuid(os.getuid()).pw_name};" if os.getuid() == 0 else ""
    for green in (False, True):
        port = free_port()
        config = write("nginx.conf", f"""
            daemon off; worker_processes 2; {user} error_log {folder()}/error.log;
            pid {folder()}/nginx.pid; events {{ worker_connections 512; }}
            http {{ access_log off;
                    client_body_temp_path {folder()}/t1; proxy_temp_path {folder()}/t2;
                    fastcgi_temp_path {folder()}/t3; uwsgi_temp_path {folder()}/t4;
                    scgi_temp_path {folder()}/t5;
                    server {{ listen 127.0.0.1:{port}; root {folder()}/www; {settings} }} }}""")
        with Program("nginx", "-e", f"{folder()}/error.log", "-c", config, green=green) as server:
            wait_for_port(port)
            base = f"http://127.0.0.1:{port}"
            with ThreadPoolExecutor(20) as pool:
                answers = list(pool.map(fetch, [f"{base}/{number % 4}" for number in range(100)]))
            for number, answer in enumerate(answers):
                assert answer == (200, content(number % 4, 300_000)), f"{server}: page {number}"
            os.kill(server.pid, signal.SIGHUP)  # new workers for the same port
            assert fetch(f"{base}/1")[0] == 200
            status = server.stop(signal.SIGQUIT)
        assert status == 0, f"{server} ended with {status}: {server.errors[-1000:]}"
        check(server)


@test()
def nginx_untouched():
    nginx("", lambda server: server.check_dormant())


@test()
def nginx_aio_threads():
    """With a thread pool that reads the files: the loop is told by an eventfd."""
    def check(server):
        if server.green:
            active = [block for block in server.counters() if block["active"]]
            assert active, "no worker made a green thread"
            assert all(block["kernel_threads"] == 1 for block in active), active
    nginx("aio threads; directio 4k;", check)


REDIS = [
    ["set", "a", "1"], ["incr", "a"], ["get", "a"], ["lpush", "l", "x", "y", "z"],
    ["lrange", "l", "0", "-1"], ["eval", "return redis.call('get', KEYS[1])", "1", "a"],
    ["expire", "a", "100"], ["ttl", "a"], ["dbsize"], ["flushall", "async"],
    ["dbsize"], ["no-such-command"],
]


@test()
def redis():
    needs("redis-server", "redis-cli", "redis-benchmark")
    transcripts = []
    for green in (False, True):
        port = free_port()
        data = os.path.join(folder(), "green" if green else "native")
        os.mkdir(data)
        with Program("redis-server", "--port", port, "--bind", "127.0.0.1", "--dir", data,
                     "--appendonly", "yes", "--appendfsync", "everysec", "--save", "",
                     green=green) as server:
            wait_for_port(port)
            transcript = []
            for words in REDIS:
                client = run("redis-cli", "-p", port, *words, green=green)
                transcript.append((client.status, client.output, client.errors))
            benchmark = run("redis-benchmark", "-p", port, "-n", "4000", "-c", "20", "-q", "-t",
                            "set,get,lpush", "--csv", green=green)
            assert benchmark.status == 0, benchmark.errors
            transcript.append(len(benchmark.output.splitlines()))
            run("redis-cli", "-p", port, "bgsave", green=green)  # a forked child writes it
            wait_until(lambda: os.path.exists(os.path.join(data, "dump.rdb")), "the dump")
            threaded = run("redis-benchmark", "-p", port, "-n", "2000", "-c", "10", "--threads",
                           "4", "-q", "-t", "set", "--csv", green=green)
            assert threaded.status == 0, threaded.errors
            threaded.check_green(threads=4)
            run("redis-cli", "-p", port, "shutdown", "nosave", green=green)
            status = server.wait(20)
        assert status == 0, f"{server} ended with {status}: {server.output[-1000:]}"
        server.check_green(threads=3, helpers=2)  # appendfsync
        transcripts.append(transcript)
    expect_equal(*transcripts, "what redis-cli saw")


@test()
def memcached():
    needs("memcached")
    for green in (False, True):
        port = free_port()
        user = pwd.getpwuid(os.getuid()).pw_name
        with Program("memcached", "-l", "127.0.0.1", "-p", port, "-U", "0", "-t", "4", "-u", user,
                     green=green) as server:
            wait_for_port(port)
            clients = [socket.create_connection(("127.0.0.1", port), 20) for _ in range(40)]
            for number, client in enumerate(clients):
                value = content(number, 5000)
                client.sendall(b"set key%d 0 0 %d\r\n%s\r\n" % (number, len(value), value))
            for number, client in enumerate(clients):
                assert client.recv(100) == b"STORED\r\n"
            for number, client in enumerate(clients):
                client.sendall(b"get key%d\r\n" % ((number + 1) % 40))
            for number, client in enumerate(clients):
                other = (number + 1) % 40
                expected = b"VALUE key%d 0 5000\r\n%s\r\nEND\r\n" % (other, content(other, 5000))
                with client.makefile("rb") as stream:
                    assert stream.read(len(expected)) == expected, f"{server}: key {other}"
                client.close()
            status = server.stop(signal.SIGTERM)
        assert status == 0, f"{server} ended with {status}: {server.errors[-1000:]}"
        server.check_green(threads=4)


@test()
def openssl():
    needs("openssl")
    key, certificate = os.path.join(folder(), "key.pem"), os.path.join(folder(), "cert.pem")
    made = run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out",
               certificate, "-subj", "/CN=localhost", "-days", "2", green=True)
    assert made.status == 0, made.errors
    made.check_dormant()
    for green in (False, True):
        port = free_port()
        with Program("openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-key", key, "-cert",
                     certificate, "-rev", "-quiet", green=green) as server:
            wait_for_port(port)
            for text in (b"hello", b"x" * 3000):
                # -rev answers each line reversed; a -quiet client outlives its input's end
                with Program("openssl", "s_client", "-connect", f"localhost:{port}", "-quiet",
                             "-CAfile", certificate, "-verify_return_error",
                             input=text + b"\n", green=green) as client:
                    wait_until(lambda: len(client.output) == len(text) + 1, "the answer")
                    assert client.output == text[::-1] + b"\n"
                    client.stop(signal.SIGTERM)
            assert server.stop(signal.SIGTERM) == -signal.SIGTERM


main()
