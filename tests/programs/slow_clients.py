"""Clients and an upstream server that are slow on purpose, all in one asyncio loop.

On loopback a connection swallows megabytes at once, and a server's write never waits. Far clients
are imitated here: a small segment size and receive buffer, set before connecting, keep the server's
buffers small too; requests go out a few bytes at a time and answers are read with pauses.
"""

import asyncio
import random
import socket

SEGMENT = 1400
BUFFER = 8192
FLIP = bytes(byte ^ 0x5A for byte in range(256))


def content(number, size):
    """A body that no other number has."""
    return random.Random(number).randbytes(size)


async def far_socket(port):
    """A connection to a port of this machine that behaves like one from far away."""
    far = socket.socket()
    far.setblocking(False)
    far.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, SEGMENT)
    far.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    far.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
    await asyncio.get_running_loop().sock_connect(far, ("127.0.0.1", port))
    return far


async def accepted(port):
    """Waits until the server on that port has accepted whoever connected.

    A listen queue that overflows answers with SYN cookies, and a client then learns by a reset that
    it was never in. The kernel tells a listener's queue length as its rx_queue.
    """
    while True:
        with open("/proc/net/tcp", encoding="ascii") as lines:
            for line in lines:
                words = line.split()
                if words[1].endswith(f":{port:04X}") and words[3] == "0A":
                    if words[4].endswith(":00000000"):
                        return
        await asyncio.sleep(0.001)


class FarClient:
    """A slow conversation; each client has pauses and piece sizes of its own."""

    def __init__(self, far, number):
        self.far = far
        self.dice = random.Random(f"pace {number}")
        self.loop = asyncio.get_running_loop()

    @classmethod
    async def connect(cls, port, number):
        return cls(await far_socket(port), number)

    async def send(self, data, piece, pause=0.01):
        while data:
            count = self.dice.randint(1, piece)
            await self.loop.sock_sendall(self.far, data[:count])
            data = data[count:]
            await asyncio.sleep(pause * self.dice.random() * 2)

    async def send_at_once(self, data):
        await self.loop.sock_sendall(self.far, data)

    async def receive(self, count, pause=0.01):
        """Reads so many bytes, or fewer if the other side ends first."""
        pieces = []
        while count:
            piece = await self.loop.sock_recv(self.far, min(count, BUFFER * 2))
            if not piece:
                break
            pieces.append(piece)
            count -= len(piece)
            await asyncio.sleep(pause * self.dice.random() * 2)
        return b"".join(pieces)

    async def receive_all(self, pause=0.01):
        return await self.receive(1 << 40, pause)

    async def receive_line_end(self, mark=b"\r\n\r\n"):
        """Reads up to the mark, byte by byte so as to take nothing that follows it."""
        data = b""
        while not data.endswith(mark):
            byte = await self.loop.sock_recv(self.far, 1)
            if not byte:
                break
            data += byte
        return data

    def close(self):
        self.far.close()


class Meeting:
    """Where all clients wait for each other, so that for a moment all of them are open at once."""

    def __init__(self, count, when_all_here):
        self.missing = count
        self.when_all_here = when_all_here
        self.everybody = asyncio.Event()

    async def arrive(self):
        self.missing -= 1
        if self.missing == 0:
            self.when_all_here()
            self.everybody.set()
        await self.everybody.wait()


async def all_of(clients):
    """Runs the clients' coroutines together; the first failure is the result."""
    async with asyncio.TaskGroup() as group:
        for client in clients:
            group.create_task(client)


# The upstream's own protocol, for proxies that carry bytes and look at none: the client sends a
# line "echo NUMBER LENGTH SIZE", then LENGTH bytes; each comes back flipped, at once; after the
# last one the upstream sends content(NUMBER, SIZE) as fast as it is read, and closes.

async def serve_upstream():
    async def serve(reader, writer):
        try:
            words = (await reader.readline()).split()
            if words[0] == b"echo":
                await echo(reader, writer, *map(int, words[1:]))
            else:
                await web(reader, writer, words)
        except (OSError, EOFError, IndexError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=1024)
    return server, server.sockets[0].getsockname()[1]


async def echo(reader, writer, number, length, size):
    while length:
        data = await reader.read(min(length, 65536))
        if not data:
            return
        length -= len(data)
        writer.write(data.translate(FLIP))
        await writer.drain()
    writer.write(content(number, size))
    await writer.drain()


async def web(reader, writer, words):
    """GET /NUMBER/SIZE: that content, in drips; POST /...: what was posted, flipped."""
    head = await reader.readuntil(b"\r\n\r\n")
    if words[0] == b"POST":
        length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n")
                      if line.lower().startswith(b"content-length:"))
        body = (await reader.readexactly(length)).translate(FLIP)
    else:
        _, number, size = words[1].split(b"/")
        body = content(int(number), int(size))
    writer.write(b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body))
    for start in range(0, len(body), 8192):
        writer.write(body[start:start + 8192])
        await writer.drain()
        await asyncio.sleep(0.01)


async def echo_conversation(client, number, meeting, length=8192, size=200_000):
    """The client's side of echo; half of it is done when it comes to the meeting."""
    upload = content(f"upload {number}", length)
    await client.send(b"echo %d %d %d\n" % (number, length, size), 5, 0.002)
    half = length // 2
    for part in (upload[:half], upload[half:]):
        sender = asyncio.create_task(client.send(part, 700))
        back = await client.receive(len(part))
        await sender
        assert back == part.translate(FLIP), f"client {number}: the echo differs"
        if part is not upload[half:]:
            await meeting.arrive()
    body = await client.receive_all()
    assert body == content(number, size), f"client {number}: {len(body)} of {size} bytes are right"
