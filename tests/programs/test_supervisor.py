"""green --workers: several processes of one program behave like one.

The servers (worker_server.py, nginx) are unmodified and know nothing of each other. Clients count:
an answer that does not come, or a connection that is refused while the service is up, is a failure
wherever nothing may be lost. (The auditor has nothing to say here: workers that a signal ends leave
no counters.)
"""

import collections
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
import urllib.request

from harness import (HERE, LIBRARY, PYTHON, Program, Skip, folder, free_port, main, needs, test,
                     wait_for_port, wait_until, write)

GREEN = os.path.abspath(os.path.join(HERE, "../../scripts/green"))
SERVER = os.path.join(HERE, "worker_server.py")


class Service(Program):
    """A supervisor and its workers."""

    def __init__(self, options, *command, env=None, **more):
        super().__init__(GREEN, "--workers", *options, "--", *command,
                         env={"GREEN_LIBRARY": LIBRARY, **(env or {})}, **more)

    def workers(self):
        """Their process ids."""
        with open(f"/proc/{self.pid}/task/{self.pid}/children", encoding="ascii") as file:
            return [int(pid) for pid in file.read().split()]

    def said(self, pattern):
        return re.search(pattern, self.errors.decode(errors="replace"))


def serve(shape, where, *options, number="2", env=None):
    return Service([number, *options], PYTHON, SERVER, shape, where, env=env)


def connect(where):
    family = socket.AF_UNIX if isinstance(where, str) else socket.AF_INET
    connection = socket.socket(family)
    connection.settimeout(20)
    connection.connect(where if family == socket.AF_UNIX else ("127.0.0.1", where))
    return connection


def ask(connection, ms=0):
    """Who answered, and where it runs."""
    connection.sendall(b"%d\n" % ms)
    text = b""
    while not text.endswith(b"\n"):
        piece = connection.recv(4096)
        if not piece:
            raise OSError("the connection has ended without an answer")
        text += piece
    pid, cpus = text.split()
    return int(pid), cpus.decode()


def ask_once(where, ms=0):
    with connect(where) as connection:
        return ask(connection, ms)


def wait_for_both(where, seconds=20, count=2):
    """Both workers answer, or so many; returns {pid: cpus}."""
    found = {}

    def look():
        try:
            found.update([ask_once(where)])
        except OSError:
            pass
        return len(found) == count
    wait_until(look, f"answers of {count} workers", seconds)
    return found


class Clients:
    """Clients that make a connection for each request, until the block ends."""

    def __init__(self, where, count=10, ms=3, keep=False):
        self.where, self.ms, self.keep = where, ms, keep
        self.answers, self.failures = collections.Counter(), []
        self.over = False
        self.threads = [threading.Thread(target=self.work) for _ in range(count)]

    def work(self):
        while not self.over:
            pid = None
            try:
                with connect(self.where) as connection:
                    while True:
                        pid = ask(connection, self.ms)[0]
                        self.answers[pid] += 1
                        if self.over or not self.keep:
                            break
            except OSError as error:
                self.failures.append((pid, error))

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.over = True
        for thread in self.threads:
            thread.join()


@test(audit=False)
def workers_share_a_port():
    """A fixed port and port 0: both serve, each pinned to a CPU of its own, with one kernel thread."""
    cpus = sorted(os.sched_getaffinity(0))
    for asked in (free_port(), 0):
        with serve("threads", asked) as service:
            wait_until(lambda: service.output.count(b"\n") == 2, "two workers that listen")
            ports = set(re.findall(rb", (\d+)\)", service.output))
            assert len(ports) == 1, service.output
            port = int(ports.pop())
            workers = wait_for_both(port)
            assert sorted(workers) == sorted(service.workers())
            expected = {str(cpus[index % len(cpus)]) for index in range(2)}
            assert set(workers.values()) == expected, workers
            held = [connect(port) for _ in range(20)]
            for connection in held:
                ask(connection)
            for pid in workers:
                assert len(os.listdir(f"/proc/{pid}/task")) == 1, "a worker is not green"
            with socket.socket() as other:  # the port is not open to other programs
                other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                assert other.connect_ex(("127.0.0.1", port)) == 0
            twice = subprocess.run([PYTHON, SERVER, "threads", str(port)], capture_output=True,
                                   timeout=20, check=False)
            assert b"Address already in use" in twice.stderr, twice
            for connection in held:
                connection.close()
            assert service.stop(signal.SIGTERM) == -signal.SIGTERM, service.errors
    with serve("threads", free_port(), "--no-pin") as service:
        wait_until(lambda: len(service.workers()) == 2, "two workers")
        assert all(os.sched_getaffinity(pid) == set(cpus) for pid in service.workers())


@test(audit=False)
def workers_share_unix_and_udp():
    path = os.path.join(folder(), "socket")
    with serve("threads", path) as service:
        wait_until(lambda: service.output.count(b"\n") == 2, "two workers that listen")
        first = wait_for_both(path)
        os.kill(min(first), signal.SIGKILL)  # its successor removes the path, as all do
        wait_until(lambda: service.output.count(b"\n") == 3, "a new worker")
        assert sorted(wait_for_both(path)) == sorted(service.workers())
        service.stop(signal.SIGTERM)
    port = free_port()
    with serve("udp", port) as service:
        wait_until(lambda: service.output.count(b"\n") == 2, "two workers that listen")
        answered = set()
        for _ in range(50):
            with socket.socket(type=socket.SOCK_DGRAM) as client:
                client.settimeout(10)
                client.sendto(b"0\n", ("127.0.0.1", port))
                answered.add(int(client.recv(100).split()[0]))
        assert answered == set(service.workers()), answered


@test(timeout=120, audit=False)
def workers_killed_under_load():
    """Only connections that the killed worker had accepted are lost, and another one comes."""
    port = free_port()
    with serve("threads", port) as service:
        before = wait_for_both(port)
        victim = min(before)
        with Clients(port, ms=20, keep=True) as clients:
            wait_until(lambda: len(clients.answers) == 2, "answers of both")
            os.kill(victim, signal.SIGKILL)
            assert victim not in wait_for_both(port), "the dead have answered"
        # None: it was accepted, and the first answer had not come.
        assert {pid for pid, _ in clients.failures} <= {victim, None}, clients.failures
        assert len(clients.failures) <= len(clients.threads), clients.failures
        assert service.said(r"worker 0 \(pid \d+\) was killed by SIGKILL"), service.errors


@test(timeout=120, audit=False)
def workers_keep_a_dead_ones_queue():
    """Connections which the killed worker had not accepted are served by the next one."""
    port = free_port()
    with serve("single", port, number="1") as service:
        wait_for_port(port)
        first = connect(port)
        pid = ask(first)[0]  # the server is now busy with this connection
        waiting = [connect(port) for _ in range(5)]
        for connection in waiting:
            connection.sendall(b"0\n")
        os.kill(pid, signal.SIGKILL)
        answered = set()
        for connection in waiting:
            answered.add(int(connection.makefile().readline().split()[0]))
            connection.close()
        assert answered == set(service.workers()) and pid not in answered, answered


def rolling(shape, where, **load):
    """Two rounds of rolling restarts under load lose nothing."""
    with serve(shape, where, "--rolling") as service:
        old = set(wait_for_both(where))
        with Clients(where, **load) as clients:
            for _ in range(2):
                before = set(service.workers())
                os.kill(service.pid, signal.SIGHUP)
                wait_until(lambda: len(set(service.workers()) - before) == 2 and
                           not set(service.workers()) & before, "two new workers", 40)
                wait_for_both(where)
        assert not clients.failures, clients.failures[:3]
        assert old < set(clients.answers) and len(clients.answers) >= 4, clients.answers
        print(f"{shape}: {sum(clients.answers.values())} requests to {len(clients.answers)} workers")
        assert service.stop(signal.SIGTERM) == -signal.SIGTERM


@test(timeout=120, audit=False)
def workers_rolling_threads():
    rolling("threads", free_port())


@test(timeout=120, audit=False)
def workers_rolling_one_at_a_time():
    rolling("single", free_port(), count=4)


@test(timeout=120, audit=False)
def workers_rolling_event_loop():
    rolling("async", free_port())


@test(timeout=120, audit=False)
def workers_rolling_unix():
    rolling("threads", os.path.join(folder(), "socket"))


BLOCKING_SERVER = r"""
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
int main(int argc, char** argv) {
    int s = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    struct sockaddr_in a = {AF_INET, htons(atoi(argv[argc - 1])), {htonl(INADDR_LOOPBACK)}, {0}};
    setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(s, (void*)&a, sizeof a) || listen(s, 100)) return 1;
    for (;;) {
        char text[100];
        int c = accept(s, 0, 0);
        if (c < 0) return perror("accept"), 2;
        if (read(c, text, sizeof text) > 0) {
            int n = sprintf(text, "%d 0\n", getpid());
            usleep(2000);
            write(c, text, n);
        }
        close(c);
    }
}
"""


@test(timeout=120, audit=False)
def workers_rolling_blocking():
    """A program that waits in accept(2) itself, without a thread, and gives up when it fails."""
    needs("cc")
    program = os.path.join(folder(), "server")
    subprocess.run(["cc", "-w", "-O1", "-o", program, write("server.c", BLOCKING_SERVER)],
                   check=True)
    port = free_port()
    with Service(["2", "--rolling"], program, port) as service:
        wait_for_both(port)
        with Clients(port, count=4) as clients:
            for _ in range(5):
                before = set(service.workers())
                os.kill(service.pid, signal.SIGHUP)
                wait_until(lambda: len(set(service.workers()) - before) == 2 and
                           not set(service.workers()) & before, "two new workers", 40)
        assert not clients.failures, clients.failures[:3]
        assert len(clients.answers) > 6, clients.answers


@test(timeout=120, audit=False)
def workers_rolling_nginx():
    """A master with workers of its own in each place."""
    needs("nginx")
    port = free_port()
    write("index.html", "here\n")
    config = write("nginx.conf", f"""
        daemon off; worker_processes 1; error_log {folder()}/error.log; pid {folder()}/nginx.pid;
        {'user root;' if os.getuid() == 0 else ''} events {{ worker_connections 512; }}
        http {{ access_log off; client_body_temp_path {folder()}/t1; proxy_temp_path {folder()}/t2;
                fastcgi_temp_path {folder()}/t3; uwsgi_temp_path {folder()}/t4;
                scgi_temp_path {folder()}/t5;
                server {{ listen 127.0.0.1:{port}; root {folder()}; }} }}""")
    nginx = ["nginx", "-e", f"{folder()}/error.log", "-c", config]
    with Service(["2", "--rolling=USR2"], *nginx) as service:
        wait_for_port(port)
        wait_until(lambda: len(service.workers()) == 2, "two masters")
        answers, over = [], threading.Event()

        def fetch():
            while not over.is_set():
                try:
                    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=20) as answer:
                        answers.append(answer.read())
                except OSError as error:
                    answers.append(error)
        threads = [threading.Thread(target=fetch) for _ in range(4)]
        for thread in threads:
            thread.start()
        before = set(service.workers())
        os.kill(service.pid, signal.SIGUSR2)
        wait_until(lambda: len(service.workers()) == 2 and not set(service.workers()) & before,
                   "two new masters", 40)
        over.set()
        for thread in threads:
            thread.join()
        assert set(answers) == {b"here\n"}, [one for one in answers if one != b"here\n"][:3]
        assert service.stop(signal.SIGQUIT, 20) == 0, service.errors


@test(audit=False)
def workers_rolling_is_given_up():
    """New workers that do not come up replace nobody."""
    port = free_port()
    switch = write("switch", "")
    with Service(["2", "--rolling"], "/bin/sh", "-c",
                 f"test -e {switch} || exit 3; exec {PYTHON} {SERVER} threads {port}") as service:
        before = wait_for_both(port)
        os.unlink(switch)
        os.kill(service.pid, signal.SIGHUP)
        wait_until(lambda: service.said("the old ones stay"), "a word about it")
        assert wait_for_both(port).keys() == before.keys()
        time.sleep(0.2)
        assert sorted(service.workers()) == sorted(before)


@test(audit=False)
def workers_stop_gently():
    """SIGTERM lets connections end for a while; SIGINT and a second SIGTERM do not."""
    port = free_port()
    with serve("threads", port, "--grace", 20) as service:
        wait_for_both(port)
        with connect(port) as connection:
            connection.sendall(b"1000\n")
            time.sleep(0.2)
            os.kill(service.pid, signal.SIGTERM)
            assert connection.recv(100).endswith(b"\n"), "the answer was cut"
        assert service.wait(10) == -signal.SIGTERM
    for first, second in ((signal.SIGINT, None), (signal.SIGTERM, signal.SIGTERM)):
        with serve("threads", port, "--grace", 100) as service:
            wait_for_both(port)
            with connect(port) as connection:
                ask(connection)
                os.kill(service.pid, first)
                if second:
                    time.sleep(0.3)
                    assert len(service.workers()) == 2, "it has not waited"
                    os.kill(service.pid, second)
                status = service.wait(10)
                assert status == -signal.SIGTERM if second else status in (1, -signal.SIGINT), status
    with serve("threads", port, "--grace=1") as service:
        wait_for_both(port)
        with connect(port) as connection:  # which stays open for longer than that
            ask(connection)
            assert service.stop(signal.SIGTERM) == -signal.SIGTERM


SHELL = r"""
trap 'echo usr1 >> {log}; ' USR1
trap 'echo hup >> {log}; ' HUP
trap 'echo term >> {log}; exit {status}' TERM
echo up >> {log}
while :; do sleep 0.05; done
"""


def shell(options, status=0, text=SHELL):
    log = write("log", "")
    script = write("script", text.format(log=log, status=status))
    service = Service(options, "/bin/sh", script)

    def count(word):
        with open(log, encoding="ascii") as lines:
            return lines.read().split().count(word)
    return service, count


@test(audit=False)
def workers_signals_and_status():
    """Signals reach every worker once; the status is theirs."""
    for status in (0, 7):
        service, count = shell(["3"], status)
        with service:
            wait_until(lambda: count("up") == 3, "three workers", 30)
            for number, word in ((signal.SIGUSR1, "usr1"), (signal.SIGHUP, "hup")):
                os.kill(service.pid, number)
                wait_until(lambda: count(word) == 3, f"three times {word}")
            assert service.stop(signal.SIGTERM) == status, service.errors
        assert [count(word) for word in ("usr1", "hup", "term")] == [3, 3, 3]
    service, count = shell(["2"])  # a signal that ends the program ends all
    with service:
        wait_until(lambda: count("up") == 2, "two workers", 30)
        assert service.stop(signal.SIGUSR2) == -signal.SIGUSR2
    service, count = shell(["2"])  # workers do not outlive their supervisor
    with service:
        wait_until(lambda: count("up") == 2, "two workers", 30)
        service.stop(signal.SIGKILL)
        wait_until(lambda: count("term") == 2, "the workers' end")


@test(audit=False)
def workers_end_by_themselves():
    done = Service(["2"], "/bin/echo", "done")
    assert done.wait(30) == 0 and done.output in (b"done\n", b"done\ndone\n"), done.output
    done = Service(["2"], "/bin/sh", "-c", "exit 9")
    assert done.wait(30) == 9 and done.said("ended with status 9 before it listened"), done.errors
    done = Service(["2"], "/bin/sh", "-c", "kill -ABRT $$")
    assert done.wait(30) == -signal.SIGABRT, done.status
    done = Service(["1"], "/bin/sh", "-c", "setsid sleep 3 &")
    assert done.wait(30) == 0 and done.said("has gone into the background, as process"), done.errors


@test(audit=False)
def workers_restarts_are_limited():
    """A worker that keeps dying is started again later and later, and then the service ends."""
    port = free_port()
    starts = write("starts", "")
    server = f"date +%s.%N >> {starts}; exec {PYTHON} -c '" \
        "import socket, time; s = socket.socket(); s.setsockopt(1, 2, 1); " \
        f's.bind(("127.0.0.1", {port})); s.listen(); time.sleep(0.1); raise SystemExit(5)' + "'"
    service = Service(["1", "--max-restarts", "4"], "/bin/sh", "-c", server)
    assert service.wait(40) == 5, (service.status, service.errors)
    with open(starts, encoding="ascii") as lines:
        times = [float(line) for line in lines]
    assert len(times) == 5, times
    gaps = [after - before for before, after in zip(times, times[1:])]
    assert gaps[1] > 0.1 and gaps[2] > 0.2 and gaps[3] > 0.4, gaps
    assert service.said("the next one starts in 0.4 s"), service.errors
    assert service.said("5 times in a row: given up"), service.errors


@test(audit=False)
def workers_in_a_container():
    """As process 1: signals work, orphans are reaped, the status arrives."""
    needs("unshare")
    port = free_port()
    inside = ["unshare", "-p", "-f", "--mount-proc", "--kill-child"]
    if subprocess.run([*inside, "true"], capture_output=True, check=False).returncode != 0:
        raise Skip("unshare -p is not allowed here")
    orphan = "(sleep 0.2 & echo $! >/dev/null) ; (setsid sleep 0.3 &)"
    command = f"{orphan}; exec {PYTHON} {SERVER} threads {port}"
    with Program(*inside, GREEN, "--workers", "2", "--", "/bin/sh", "-c", command,
                 env={"GREEN_LIBRARY": LIBRARY}) as outside:
        wait_for_both(port)

        def children(pid):
            with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
                return [int(child) for child in file.read().split()]
        first = children(outside.pid)[0]
        time.sleep(0.5)
        wait_until(lambda: len(children(first)) == 2, "two workers and no orphans")
        os.kill(first, signal.SIGTERM)
        assert outside.wait(20) == 128 + signal.SIGTERM, outside.errors


@test(audit=False)
def workers_socket_activation():
    """Sockets that systemd has opened are at the same numbers in each worker, LISTEN_PID is right."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(128)
    port = listener.getsockname()[1]
    activate = ("import os, socket, sys; s = int(sys.argv[1]); os.dup2(s, 3) if s != 3 else "
                "os.set_inheritable(3, True); "
                "os.environ.update(LISTEN_FDS='1', LISTEN_PID=str(os.getpid())); "
                "os.execv(sys.argv[2], sys.argv[2:])")
    command = [PYTHON, "-c", activate, str(listener.fileno()), GREEN, "--workers", "2", "--rolling",
               "--", PYTHON, SERVER, "inherited", "0"]
    with subprocess.Popen(command, pass_fds=[listener.fileno()], stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE,
                          env={**os.environ, "GREEN_LIBRARY": LIBRARY}) as service:
        try:
            wait_for_both(port)
            with Clients(port, count=4) as clients:
                os.kill(service.pid, signal.SIGHUP)
                wait_until(lambda: len(clients.answers) == 4, "answers of two new workers", 30)
            assert not clients.failures, clients.failures[:3]
            service.send_signal(signal.SIGTERM)
            assert service.wait(20) == -signal.SIGTERM
            assert service.stderr.read() == b""
        finally:
            service.kill()
    listener.close()


@test(audit=False)
def workers_close_listeners():
    """A worker's listener that it closes refuses connections, and its port can be had again; with
    more listeners than one would expect."""
    code = """if True:
        import socket, time
        ones = [socket.create_server(("127.0.0.1", 0)) for _ in range(100)]
        ports = [one.getsockname()[1] for one in ones]
        for number in (0, 99):
            ones[number].close()
            with socket.socket() as client:
                print(client.connect_ex(("127.0.0.1", ports[number])))
            ones[number] = socket.create_server(("127.0.0.1", ports[number]))
            with socket.socket() as client:
                print(client.connect_ex(("127.0.0.1", ports[number])))
        print("done", flush=True)
        time.sleep(100)
    """
    with Service(["1"], PYTHON, "-c", code) as service:
        wait_until(lambda: b"done" in service.output, "the end of the program")
        assert service.output == b"111\n0\n111\n0\ndone\n", service.output


@test(timeout=120, audit=False)
def workers_behind_haproxy():
    """Two machines with README.md's configuration: one is updated, the other stopped and started."""
    needs("haproxy")
    with open(os.path.join(HERE, "../../README.md"), encoding="utf-8") as file:
        found = re.search(r"^    defaults\n(?:    .*\n)+", file.read(), re.M)
    port, one, two = free_port(), free_port(), free_port()
    text = re.sub(r"^    ", "", found[0], flags=re.M)
    for old, new in ((":80\n", f"127.0.0.1:{port}\n"), ("10.0.0.1:8080", f"127.0.0.1:{one}"),
                     ("10.0.0.2:8080", f"127.0.0.1:{two}")):
        assert old in text, f"no {old} in {text}"
        text = text.replace(old, new)
    config = write("haproxy.cfg", text)
    with serve("threads", one, "--rolling") as first, Program("haproxy", "-db", "-f", config):
        second = serve("threads", two)
        with second:
            # HAProxy may have found them down, and then wants two good checks before it uses them.
            wait_for_both(port, count=4)
            with Clients(port, count=6) as clients:
                wait_until(lambda: len(clients.answers) == 4, "answers of four workers", 20)
                os.kill(first.pid, signal.SIGHUP)
                wait_until(lambda: len(clients.answers) == 6, "answers of new workers", 40)
                assert second.stop(signal.SIGTERM, 20) == -signal.SIGTERM
                time.sleep(1)
                with serve("threads", two):
                    wait_until(lambda: len(clients.answers) == 8, "answers after the break", 40)
                    clients.over = True
                    for thread in clients.threads:
                        thread.join()
        assert not clients.failures, clients.failures[:3]


main()
