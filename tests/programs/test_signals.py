"""Signals end or interrupt a program as they do natively.

Ctrl-C is typed on a real terminal: the kernel sends SIGINT to the foreground group. What a parent
sees (an exit status, or which signal was the end) must be what it sees natively, and so must what
Python prints: a KeyboardInterrupt comes up in the call that was interrupted.
"""

import os
import pty
import signal

from harness import (PYTHON, Program, expect_equal, folder, free_port, main, needs, run, sleeping,
                     test, wait_for_port, wait_until, write)


def interrupted(*command, number=signal.SIGINT, ready=b"", typed=False):
    """Sends the signal when the program waits, natively and green; returns (status, last error)."""
    ends = []
    for green in (False, True):
        controller, terminal = pty.openpty()
        try:
            with Program(*command, green=green, terminal=terminal) as program:
                wait_until(lambda: ready in program.output and sleeping(program.pid),
                           f"{program} at rest")
                if typed:
                    os.write(controller, b"\x03")
                    program.wait(10)
                else:
                    program.stop(number)
        finally:
            os.close(controller)
            os.close(terminal)
        last = program.errors.decode().splitlines()[-1:]
        print(f"{program}: status {program.status}, {last}")
        ends.append((program.status, program.output, last))
    expect_equal(ends[0], ends[1], f"the end of {command}")
    return program


@test()
def ctrl_c_sleep():
    for typed in (True, False):
        assert interrupted("sleep", "100", typed=typed).status == -signal.SIGINT
    assert interrupted("sleep", "100", number=signal.SIGTERM).status == -signal.SIGTERM


@test()
def ctrl_c_python():
    """Python turns SIGINT into an exception, cleans up, and then dies of the signal after all."""
    code = "import time; print('ready', flush=True); time.sleep(100)"
    for typed in (True, False):
        program = interrupted(PYTHON, "-c", code, ready=b"ready", typed=typed)
        assert program.status == -signal.SIGINT
        assert b"KeyboardInterrupt" in program.errors


WITH_THREADS = """
import queue, threading, time
for number in range(50):
    threading.Thread(target=time.sleep, args=(100,), daemon=True).start()
print('ready', flush=True)
try:
    {wait}
except KeyboardInterrupt:
    print('interrupted')
    raise SystemExit(9)
"""


@test()
def ctrl_c_python_threads():
    """The main thread is the one that Python interrupts, wherever it waits."""
    for wait in ("time.sleep(100)", "queue.Queue().get()", "threading.Event().wait(100)",
                 "input()", "import socket; pair = socket.socketpair(); pair[0].recv(1)",
                 "import select; select.select([], [], [], 100)"):
        program = interrupted(PYTHON, "-c", WITH_THREADS.format(wait=wait), ready=b"ready",
                              typed=True)
        assert program.status == 9, program.status
        assert program.output == b"ready\ninterrupted\n", program.output
        program.check_green(threads=50)


@test()
def ctrl_c_http_server():
    port = str(free_port())
    program = interrupted(PYTHON, "-u", "-m", "http.server", "--bind", "127.0.0.1", port,
                          ready=b"Serving", typed=True)
    assert program.status == 0
    assert b"Keyboard interrupt received, exiting." in program.output


@test()
def sigterm_microsocks():
    needs("microsocks")
    for green in (False, True):
        port = free_port()
        with Program("microsocks", "-i", "127.0.0.1", "-p", port, green=green) as proxy:
            wait_for_port(port)  # the probe's connection makes its first thread
            wait_until(lambda: sleeping(proxy.pid), "microsocks at rest")
            assert proxy.stop(signal.SIGTERM) == -signal.SIGTERM


@test()
def python_handlers():
    """A handler of the program's own runs while other threads wait; the wait goes on after it."""
    code = """
import os, signal, threading, time
seen = []
signal.signal(signal.SIGUSR1, lambda number, frame: seen.append(number))
signal.signal(signal.SIGALRM, lambda number, frame: seen.append(number))
threads = [threading.Thread(target=time.sleep, args=(0.5,)) for _ in range(20)]
start = time.monotonic()
for thread in threads: thread.start()
signal.setitimer(signal.ITIMER_REAL, 0.1)
threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGUSR1)).start()
time.sleep(0.4)
for thread in threads: thread.join()
print(seen == [signal.SIGALRM, signal.SIGUSR1], 0.5 <= time.monotonic() - start < 5)
"""
    for green in (False, True):
        with Program(PYTHON, "-c", code, green=green) as program:
            assert program.wait() == 0, program.errors
            assert program.output == b"True True\n", program.output
        program.check_green(threads=21)


COPIES = """
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
static char from[1 << 20], to[1 << 20];
static void* copy(void* unused) {
    struct timespec start, now;
    clock_gettime(CLOCK_MONOTONIC, &start);
    do {
        memcpy(to, from, sizeof to);
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while ((now.tv_sec - start.tv_sec) * 1000 + (now.tv_nsec - start.tv_nsec) / 1000000 < 500);
    return unused;
}
int main(void) {
    pthread_t thread[4];
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 65536);
    for (int i = 0; i < 4; i++) pthread_create(&thread[i], &attributes, copy, NULL);
    for (int i = 0; i < 4; i++) pthread_join(thread[i], NULL);
    puts("copied");
    return 0;
}
"""


@test(audit=False)  # which sees no program that is traced
def traced_slowly():
    """Each call that sets a timer takes longer than the timer: the ticks must not heap up on a small
    stack, nor leave no time for what they interrupt."""
    needs("strace", "gcc")
    program = os.path.join(folder(), "copies")
    assert run("gcc", "-O2", "-pthread", "-o", program, write("copies.c", COPIES)).status == 0
    traced = run("strace", "-f", "-o", "/dev/null", "-e", "trace=timer_settime",
                 "-e", "inject=timer_settime:delay_exit=400", program, green=True)
    assert traced.status == 0 and traced.output == b"copied\n", (traced.status, traced.errors)
    assert any(block["threads_made"] >= 4 for block in traced.counters()), traced.counters()


main()
