"""Servers for test_supervisor.py: they know nothing of workers. Each answers "pid cpus\n".

worker_server.py SHAPE WHERE: SHAPE is threads (one for each connection), single (one connection after
the other), async (an event loop), udp; WHERE is a port or the path of a Unix socket. A request is the
number of milliseconds that the answer is to take, and a newline.
"""

import asyncio
import os
import socket
import socketserver
import sys
import time

shape, where = sys.argv[1:3]


def answer():
    cpus = ",".join(map(str, sorted(os.sched_getaffinity(0))))
    return f"{os.getpid()} {cpus}\n".encode()


class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            time.sleep(int(line) / 1000)
            self.wfile.write(answer())


class Threads(socketserver.ThreadingMixIn, socketserver.TCPServer):
    allow_reuse_address = daemon_threads = True
    request_queue_size = 128


class Single(socketserver.TCPServer):
    allow_reuse_address = True
    request_queue_size = 128


class UnixThreads(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 128


class Inherited(Threads):
    def server_bind(self):
        assert os.environ["LISTEN_PID"] == str(os.getpid()), "LISTEN_PID is another's"
        self.socket.close()
        self.socket = socket.socket(fileno=3)
        self.server_address = self.socket.getsockname()


class Datagrams(socketserver.UDPServer):
    def finish_request(self, request, address):
        request[1].sendto(answer(), address)


async def loop(port):
    async def talk(reader, writer):
        while line := await reader.readline():
            await asyncio.sleep(int(line) / 1000)
            writer.write(answer())
        writer.close()
    server = await asyncio.start_server(talk, "127.0.0.1", port)
    print(*server.sockets[0].getsockname(), flush=True)
    await server.serve_forever()


if shape == "async":
    asyncio.run(loop(int(where)))
elif where.startswith("/"):
    if os.path.exists(where):
        os.unlink(where)
    server = UnixThreads(where, Handler)
else:
    kind = {"threads": Threads, "single": Single, "inherited": Inherited, "udp": Datagrams}[shape]
    server = kind(("127.0.0.1", int(where)), Handler)
print(server.server_address, flush=True)
server.serve_forever()
