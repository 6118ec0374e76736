"""`python3 -m http.server`: a thread for each connection, served to 200 slow clients at once.

Each client sends its request a few bytes at a time and stops in the middle until all are there: at
that moment 200 threads sit in recv. Then each reads 200 KB through a small window, so that the
threads sit in send. Its listen queue holds five, so the clients come in one after the other.
"""

import asyncio
import os
import signal

from harness import PYTHON, Program, folder, free_port, main, test, wait_for_port
from slow_clients import FarClient, Meeting, accepted, all_of, content

CLIENTS = 200
FILES = 8
SIZE = 200_000


async def one_client(port, number, meeting, door):
    file = number % FILES
    async with door:
        client = await FarClient.connect(port, number)
        await accepted(port)
    request = b"GET /%d HTTP/1.0\r\nHost: localhost\r\n\r\n" % file
    await client.send(request[:-9], 3)
    await meeting.arrive()
    await client.send(request[-9:], 1)
    head = await client.receive_line_end()
    assert head.startswith(b"HTTP/1.0 200 OK\r\n"), head
    body = await client.receive_all()
    assert body == content(file, SIZE), f"client {number}: {len(body)} bytes are not the file"
    client.close()


async def all_clients(server, port):
    counts = []
    meeting = Meeting(CLIENTS, lambda: counts.append(server.kernel_threads()))
    door = asyncio.Lock()
    await all_of(one_client(port, number, meeting, door) for number in range(CLIENTS))
    return counts[0]


def serve(green):
    port = free_port()
    root = os.path.join(folder(), "root")
    with Program(PYTHON, "-m", "http.server", "--bind", "127.0.0.1", port, green=green,
                 cwd=root) as server:
        wait_for_port(port)
        open_at_once = asyncio.run(all_clients(server, port))
        print(f"{server.kind}: {CLIENTS} clients at once, {open_at_once} kernel threads")
        if server.kind == "native":
            assert open_at_once >= CLIENTS, "the clients were not all there at once"
        status = server.stop(signal.SIGINT)
    assert status == 0, f"{server} ended with {status}: {server.errors[-2000:]}"
    assert server.output.decode().endswith("\nKeyboard interrupt received, exiting.\n")
    requests = server.errors.decode().splitlines()
    assert len(requests) == CLIENTS, server.errors[-3000:]
    assert all('HTTP/1.0" 200 -' in line for line in requests), server.errors[-3000:]
    server.check_green(threads=CLIENTS)


@test(timeout=90)
def http_server():
    root = os.path.join(folder(), "root")
    os.mkdir(root)
    for number in range(FILES):
        with open(os.path.join(root, str(number)), "wb") as file:
            file.write(content(number, SIZE))
    serve(green=False)
    serve(green=True)


main()
